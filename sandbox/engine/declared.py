"""A type as sqlglot's tree declares it, as SQL Server's own."""

from __future__ import annotations

from sqlglot import exp

from ..tds.errors import SqlError
from ..tds.types import SqlType, declared

UNKNOWN = SqlType("nvarchar", 4000)
"""The type of an expression this module cannot tell: the result's own type decides (compared by identity)."""


def data_type(node: exp.Expr, cast: bool = False) -> SqlType:
    """The declared type of sqlglot's DataType. In a cast, text without a length is 30 characters long."""
    assert isinstance(node, exp.DataType)
    written = node.sql("tsql") if node.this != exp.DType.USERDEFINED else str(node.args.get("kind"))
    name = _DTYPES.get(node.this.name if hasattr(node.this, "name") else "", "") or written.split("(")[0]
    arguments = [p.name for p in node.expressions]
    try:
        made = declared(name, arguments)
    except (KeyError, ValueError):
        raise SqlError(243, f"Type {name} is not a defined system type.") from None
    if cast and not arguments and made.name in ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary"):
        return SqlType(made.name, 30)
    return made


_DTYPES = {
    "VARCHAR": "varchar",
    "NVARCHAR": "nvarchar",
    "CHAR": "char",
    "NCHAR": "nchar",
    "TEXT": "text",
    "UTINYINT": "tinyint",
    "TINYINT": "tinyint",
    "SMALLINT": "smallint",
    "INT": "int",
    "BIGINT": "bigint",
    "DATETIME2": "datetime2",
    "DATETIME": "datetime",
    "SMALLDATETIME": "smalldatetime",
    "DATE": "date",
    "TIME": "time",
    "TIMESTAMPTZ": "datetimeoffset",
    "TIMESTAMPLTZ": "datetimeoffset",
    "ROWVERSION": "timestamp",
    "TIMESTAMP": "datetime2",
    "BIT": "bit",
    "BOOLEAN": "bit",
    "DECIMAL": "decimal",
    "MONEY": "money",
    "SMALLMONEY": "smallmoney",
    "FLOAT": "float",
    "DOUBLE": "float",
    "BINARY": "binary",
    "VARBINARY": "varbinary",
    "IMAGE": "image",
    "XML": "xml",
    "VARIANT": "sql_variant",
    "UNIQUEIDENTIFIER": "uniqueidentifier",
    "UUID": "uniqueidentifier",
    "HIERARCHYID": "hierarchyid",
    "GEOMETRY": "geometry",
    "GEOGRAPHY": "geography",
    "NAME": "sysname",
}
