"""SQL Server's column types: how each is declared, described in the catalog and put on the wire.

`SqlType` is the one value that discovery, translation and encoding share. Identifiers and sizes are
those of `sys.types` and of [MS-TDS] 2.2.5.4 (data types) and 2.2.5.6 (TYPE_INFO).
"""

from __future__ import annotations

import codecs
import struct
from dataclasses import dataclass

MAX = -1
COLLATION = bytes.fromhex("0904d00034")
"""SQL_Latin1_General_CP1_CI_AS, as [MS-TDS] 2.2.5.1.2 writes it: LCID 0x0409, flags, sort id 52."""
COLLATION_NAME = "SQL_Latin1_General_CP1_CI_AS"
CODE_PAGE = "cp1252"
PASSED_ON = "paralelo-passed-on"
"""How the code page's errors are handled: its five bytes without a character are those of U+0081 to U+009D, either way,
as SQL Server has it; any other character that it lacks becomes a question mark."""
_NO_CHARACTERS = frozenset(b"\x81\x8d\x8f\x90\x9d")


def _pass_on(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError):
        return bytes(
            ord(c) if ord(c) in _NO_CHARACTERS else 0x3F for c in error.object[error.start : error.end]
        ), error.end
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(PASSED_ON, _pass_on)


@dataclass(frozen=True)
class Kind:
    """What all columns of one type name have in common."""

    system_id: int
    user_id: int
    size: int
    precision: int
    scale: int
    duckdb: str
    family: str


def _kind(ident: int, size: int, precision: int, scale: int, duckdb: str, family: str, user: int = 0) -> Kind:
    return Kind(ident, user or ident, size, precision, scale, duckdb, family)


KINDS: dict[str, Kind] = {
    "tinyint": _kind(48, 1, 3, 0, "UTINYINT", "int"),
    "smallint": _kind(52, 2, 5, 0, "SMALLINT", "int"),
    "int": _kind(56, 4, 10, 0, "INTEGER", "int"),
    "bigint": _kind(127, 8, 19, 0, "BIGINT", "int"),
    "bit": _kind(104, 1, 1, 0, "BOOLEAN", "bit"),
    "decimal": _kind(106, 17, 38, 38, "DECIMAL", "decimal"),
    "numeric": _kind(108, 17, 38, 38, "DECIMAL", "decimal"),
    "money": _kind(60, 8, 19, 4, "DECIMAL(19,4)", "decimal"),
    "smallmoney": _kind(122, 4, 10, 4, "DECIMAL(10,4)", "decimal"),
    "real": _kind(59, 4, 24, 0, "FLOAT", "float"),
    "float": _kind(62, 8, 53, 0, "DOUBLE", "float"),
    "date": _kind(40, 3, 10, 0, "DATE", "date"),
    "time": _kind(41, 5, 16, 7, "BIGINT", "time"),
    "datetime2": _kind(42, 8, 27, 7, "BIGINT", "ticks"),
    "datetimeoffset": _kind(43, 10, 34, 7, "HUGEINT", "offset"),
    "datetime": _kind(61, 8, 23, 3, "BIGINT", "ticks"),
    "smalldatetime": _kind(58, 4, 16, 0, "BIGINT", "ticks"),
    "char": _kind(175, 8000, 0, 0, "VARCHAR", "string"),
    "varchar": _kind(167, 8000, 0, 0, "VARCHAR", "string"),
    "text": _kind(35, 16, 0, 0, "VARCHAR", "string"),
    "nchar": _kind(239, 8000, 0, 0, "VARCHAR", "string"),
    "nvarchar": _kind(231, 8000, 0, 0, "VARCHAR", "string"),
    "sysname": _kind(231, 256, 0, 0, "VARCHAR", "string", 256),
    "ntext": _kind(99, 16, 0, 0, "VARCHAR", "string"),
    "xml": _kind(241, -1, 0, 0, "VARCHAR", "string"),
    "sql_variant": _kind(98, 8016, 0, 0, "VARCHAR", "string"),
    "binary": _kind(173, 8000, 0, 0, "BLOB", "binary"),
    "varbinary": _kind(165, 8000, 0, 0, "BLOB", "binary"),
    "image": _kind(34, 16, 0, 0, "BLOB", "binary"),
    "timestamp": _kind(189, 8, 0, 0, "BLOB", "binary"),
    "hierarchyid": _kind(240, 892, 0, 0, "BLOB", "binary", 128),
    "geometry": _kind(240, -1, 0, 0, "BLOB", "binary", 129),
    "geography": _kind(240, -1, 0, 0, "BLOB", "binary", 130),
    "uniqueidentifier": _kind(36, 16, 0, 0, "UUID", "guid"),
}
ALIASES = {
    "integer": "int",
    "dec": "decimal",
    "rowversion": "timestamp",
    "character": "char",
    "character varying": "varchar",
    "national character varying": "nvarchar",
    "double precision": "float",
    "double": "float",
    "boolean": "bit",
    "name": "sysname",
    "variant": "sql_variant",
    "uuid": "uniqueidentifier",
}
WIDE = frozenset({"nchar", "nvarchar", "sysname", "ntext", "xml", "sql_variant"})
LONG = frozenset({"text", "ntext", "image"})
USER_DEFINED = frozenset({"hierarchyid", "geometry", "geography"})


@dataclass(frozen=True)
class SqlType:
    """A declared type: `length` in characters (bytes for binary), -1 for `max`."""

    name: str
    length: int = 0
    precision: int = 0
    scale: int = 0

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    @property
    def family(self) -> str:
        return self.kind.family

    @property
    def duckdb(self) -> str:
        """The physical type the stand-in stores it as."""
        if self.name in ("decimal", "numeric"):
            return f"DECIMAL({self.precision},{self.scale})"
        return self.kind.duckdb

    @property
    def is_max(self) -> bool:
        return self.length == MAX or self.name in USER_DEFINED or self.name == "xml"

    @property
    def max_length(self) -> int:
        """`sys.columns.max_length`: bytes, -1 for `max`."""
        if self.name in ("char", "varchar", "binary", "varbinary"):
            return self.length
        if self.name in ("nchar", "nvarchar"):
            return self.length if self.length == MAX else self.length * 2
        if self.name in ("decimal", "numeric"):
            return decimal_bytes(self.precision)
        if self.name in ("time", "datetime2", "datetimeoffset"):
            return time_bytes(self.scale) + {"time": 0, "datetime2": 3, "datetimeoffset": 5}[self.name]
        return self.kind.size

    @property
    def catalog_precision(self) -> int:
        """`sys.columns.precision`."""
        if self.name in ("decimal", "numeric"):
            return self.precision
        if self.name in ("time", "datetime2", "datetimeoffset"):
            return {"time": 8, "datetime2": 19, "datetimeoffset": 26}[self.name] + (self.scale + 1 if self.scale else 0)
        return self.kind.precision

    @property
    def catalog_scale(self) -> int:
        """`sys.columns.scale`."""
        if self.name in ("decimal", "numeric", "time", "datetime2", "datetimeoffset"):
            return self.scale
        return self.kind.scale

    def declaration(self) -> str:
        """As T-SQL writes it: `decimal(38,2)`, `varchar(max)`."""
        if self.name in ("decimal", "numeric"):
            return f"{self.name}({self.precision},{self.scale})"
        if self.name in ("time", "datetime2", "datetimeoffset"):
            return f"{self.name}({self.scale})"
        if self.name in ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary"):
            return f"{self.name}({'max' if self.length == MAX else self.length})"
        return self.name

    def type_info(self, database: str = "") -> bytes:
        """TYPE_INFO as COLMETADATA and RETURNVALUE carry it, in the nullable form."""
        name = self.name
        if name in ("tinyint", "smallint", "int", "bigint"):
            return bytes([0x26, self.kind.size])
        if name in ("decimal", "numeric"):
            code = 0x6A if name == "decimal" else 0x6C
            return bytes([code, decimal_bytes(self.precision), self.precision, self.scale])
        if name in ("time", "datetime2", "datetimeoffset"):
            return bytes([{"time": 0x29, "datetime2": 0x2A, "datetimeoffset": 0x2B}[name], self.scale])
        if name in ("char", "varchar", "nchar", "nvarchar", "sysname"):
            code = {"char": 0xAF, "varchar": 0xA7, "nchar": 0xEF}.get(name, 0xE7)
            size = 0xFFFF if self.length == MAX else 256 if name == "sysname" else self.max_length
            return bytes([code]) + struct.pack("<H", size) + COLLATION
        if name in ("binary", "varbinary", "timestamp"):
            size = 0xFFFF if self.length == MAX else 8 if name == "timestamp" else self.length
            return bytes([0xA5 if name == "varbinary" else 0xAD]) + struct.pack("<H", size)
        if name in USER_DEFINED:
            size = 892 if name == "hierarchyid" else 0xFFFF
            assembly = "Microsoft.SqlServer.Types.Sql" + {"hierarchyid": "HierarchyId"}.get(name, name.title())
            return (
                bytes([0xF0])
                + struct.pack("<H", size)
                + _short(database)
                + _short("sys")
                + _short(name)
                + struct.pack("<H", len(assembly))
                + assembly.encode("utf-16-le")
            )
        return _PLAIN_TYPE_INFO[name]


_PLAIN_TYPE_INFO: dict[str, bytes] = {
    "bit": b"\x68\x01",
    "money": b"\x6e\x08",
    "smallmoney": b"\x6e\x04",
    "real": b"\x6d\x04",
    "float": b"\x6d\x08",
    "date": b"\x28",
    "datetime": b"\x6f\x08",
    "smalldatetime": b"\x6f\x04",
    "uniqueidentifier": b"\x24\x10",
    "xml": b"\xf1\x00",
    "sql_variant": b"\x62" + struct.pack("<I", 8009),
    # The table name that follows a long type in COLMETADATA has no parts: the value is an expression's.
    "text": b"\x23" + struct.pack("<I", 0x7FFFFFFF) + COLLATION + b"\x00",
    "ntext": b"\x63" + struct.pack("<I", 0x7FFFFFFE) + COLLATION + b"\x00",
    "image": b"\x22" + struct.pack("<I", 0x7FFFFFFF) + b"\x00",
}


def _short(text: str) -> bytes:
    return bytes([len(text)]) + text.encode("utf-16-le")


def decimal_bytes(precision: int) -> int:
    """Bytes a decimal takes: a sign and 4, 8, 12 or 16 more."""
    return 5 if precision <= 9 else 9 if precision <= 19 else 13 if precision <= 28 else 17


def time_bytes(scale: int) -> int:
    """Bytes a time of day takes at a scale of 0 to 7 digits."""
    return 3 if scale <= 2 else 4 if scale <= 4 else 5


def declared(name: str, arguments: list[str]) -> SqlType:
    """A type from its name and the arguments in its parentheses, with T-SQL's defaults.

    Raises KeyError for a name SQL Server does not have.
    """
    lowered = name.strip().lower()
    lowered = ALIASES.get(lowered, lowered)
    kind = KINDS[lowered]
    numbers = [MAX if text.strip().lower() == "max" else int(text) for text in arguments]
    if lowered in ("decimal", "numeric"):
        precision = numbers[0] if numbers else 18
        return SqlType(lowered, 0, precision, numbers[1] if len(numbers) > 1 else 0)
    if lowered in ("time", "datetime2", "datetimeoffset"):
        return SqlType(lowered, 0, 0, numbers[0] if numbers else 7)
    if lowered in ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary"):
        return SqlType(lowered, numbers[0] if numbers else 1)
    if lowered == "float" and numbers and numbers[0] <= 24:
        return SqlType("real")
    return SqlType(lowered, MAX if kind.size == -1 else 0)


INT = SqlType("int")
BIGINT = SqlType("bigint")
BIT = SqlType("bit")
SYSNAME = SqlType("nvarchar", 128)
NVARCHAR = SqlType("nvarchar", 4000)
DATETIME2 = SqlType("datetime2", 0, 0, 7)
OFFSET = SqlType("datetimeoffset", 0, 0, 7)
