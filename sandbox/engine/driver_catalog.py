"""The catalog procedures that drivers call for SQLTables, SQLColumns, SQLGetTypeInfo and SQLPrimaryKeys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..tds.tokens import ResultColumn
from ..tds.types import INT, KINDS, SYSNAME, SqlType

if TYPE_CHECKING:
    from .session import Session, Sink

SMALLINT, TINYINT = SqlType("smallint"), SqlType("tinyint")


def send(sink: Sink, columns: list[tuple[str, SqlType]], rows: list[tuple[Any, ...]]) -> None:
    described = tuple(ResultColumn(n, k) for n, k in columns)
    arrow = {"int": pa.int64(), "bit": pa.bool_(), "string": pa.string(), "float": pa.float64()}
    arrays = [pa.array([r[i] for r in rows], arrow[k.family]) for i, (_, k) in enumerate(columns)]
    batch = pa.RecordBatch.from_arrays(arrays, names=[f"c{i}" for i in range(len(columns))])
    sink.rows(described, [batch] if rows else [])
    sink.done(len(rows))


def argument(values: list[tuple[str, Any]], name: str, place: int) -> Any:
    for label, value in values:
        if label == name:
            return value
    plain = [v for n, v in values if not n]
    return plain[place] if place < len(plain) else None


def tables(session: Session, values: list[tuple[str, Any]], sink: Sink) -> None:
    name, owner = argument(values, "table_name", 0) or "%", argument(values, "table_owner", 1) or "%"
    rows = session.fetch(
        "SELECT TABLE_CATALOG, TABLE_SCHEMA, TABLE_NAME, CASE TABLE_TYPE WHEN 'BASE TABLE' THEN 'TABLE'"
        f" ELSE 'VIEW' END, NULL FROM \"{session.database}\"._information_schema.tables"
        " WHERE TABLE_NAME ILIKE $1 ESCAPE '\\'"
        " AND TABLE_SCHEMA ILIKE $2 ESCAPE '\\' ORDER BY 4, 1, 2, 3",
        [_like(name), _like(owner)],
    )
    send(
        sink,
        [
            ("TABLE_QUALIFIER", SYSNAME),
            ("TABLE_OWNER", SYSNAME),
            ("TABLE_NAME", SYSNAME),
            ("TABLE_TYPE", SqlType("varchar", 32)),
            ("REMARKS", SqlType("varchar", 254)),
        ],
        rows,
    )


def _like(pattern: str) -> str:
    """A pattern of the catalog procedures, where brackets quote a wildcard."""
    return re.sub(r"\[(.)\]", r"\\\1", pattern)


ODBC = {
    "tinyint": -6,
    "smallint": 5,
    "int": 4,
    "bigint": -5,
    "bit": -7,
    "decimal": 3,
    "numeric": 2,
    "money": 3,
    "smallmoney": 3,
    "real": 7,
    "float": 6,
    "date": -9,
    "time": -9,
    "datetime2": -9,
    "datetimeoffset": -9,
    "datetime": 11,
    "smalldatetime": 11,
    "char": 1,
    "varchar": 12,
    "text": -1,
    "nchar": -8,
    "nvarchar": -9,
    "ntext": -10,
    "xml": -10,
    "binary": -2,
    "varbinary": -3,
    "image": -4,
    "timestamp": -2,
    "uniqueidentifier": -11,
}


def columns(session: Session, values: list[tuple[str, Any]], sink: Sink) -> None:
    name, owner = argument(values, "table_name", 0) or "%", argument(values, "table_owner", 1) or "%"
    column = argument(values, "column_name", 3) or "%"
    rows = session.fetch(
        "SELECT TABLE_CATALOG, TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE,"
        " CHARACTER_MAXIMUM_LENGTH, CHARACTER_OCTET_LENGTH, IS_NULLABLE, COLUMN_DEFAULT, ORDINAL_POSITION FROM"
        f" \"{session.database}\"._information_schema.columns WHERE TABLE_NAME ILIKE $1 ESCAPE '\\' AND TABLE_SCHEMA"
        " ILIKE $2 ESCAPE '\\' AND COLUMN_NAME ILIKE $3 ESCAPE '\\' ORDER BY 2, 3, 12",
        [_like(name), _like(owner), _like(column)],
    )
    made = []
    for row in rows:
        kind = KINDS.get(row[4])
        size = row[7] if row[7] is not None else row[5] if row[5] is not None else kind.precision if kind else 0
        made.append(
            (
                *row[:4],
                ODBC.get(row[4], -9),
                row[4],
                size,
                row[8] or (kind.size if kind else 0),
                row[6],
                10 if row[5] is not None else None,
                int(row[9] == "YES"),
                None,
                row[10],
                ODBC.get(row[4], -9),
                None,
                row[8],
                row[11],
                row[9],
                0,
            )
        )
    send(
        sink,
        [
            ("TABLE_QUALIFIER", SYSNAME),
            ("TABLE_OWNER", SYSNAME),
            ("TABLE_NAME", SYSNAME),
            ("COLUMN_NAME", SYSNAME),
            ("DATA_TYPE", SMALLINT),
            ("TYPE_NAME", SYSNAME),
            ("PRECISION", INT),
            ("LENGTH", INT),
            ("SCALE", SMALLINT),
            ("RADIX", SMALLINT),
            ("NULLABLE", SMALLINT),
            ("REMARKS", SqlType("varchar", 254)),
            ("COLUMN_DEF", SqlType("nvarchar", 4000)),
            ("SQL_DATA_TYPE", SMALLINT),
            ("SQL_DATETIME_SUB", SMALLINT),
            ("CHAR_OCTET_LENGTH", INT),
            ("ORDINAL_POSITION", INT),
            ("IS_NULLABLE", SqlType("varchar", 254)),
            ("SS_DATA_TYPE", TINYINT),
        ],
        made,
    )


def types(session: Session, values: list[tuple[str, Any]], sink: Sink) -> None:
    """sp_datatype_info: what SQLGetTypeInfo asks; drivers take the digits of a datetime2 from it."""
    wanted = int(argument(values, "data_type", 0) or 0)
    newer = {
        "date": (91, 10, 0),
        "time": (-154, 16, 7),
        "datetime2": (93, 27, 7),
        "datetimeoffset": (-155, 34, 7),
        "datetime": (93, 23, 3),
        "smalldatetime": (93, 16, 0),
        "xml": (-152, 0, None),
    }
    rows = []
    for name, kind in KINDS.items():
        code, size, digits = newer.get(name, (ODBC.get(name, -150), kind.precision or max(kind.size, 0), None))
        if wanted in (0, code) and name not in ("sysname", "hierarchyid", "geometry", "geography"):
            quote = "'" if kind.family in ("string", "date", "time", "ticks", "offset", "guid") else None
            rows.append(
                (
                    name,
                    code,
                    size,
                    quote,
                    quote,
                    None,
                    1,
                    0,
                    3,
                    None,
                    0,
                    0,
                    name,
                    digits if digits is not None else 0,
                    digits if digits is not None else kind.scale,
                    9 if code in (91, 93) else code,
                    {"date": 1}.get(name, 3 if code == 93 else None),
                    10 if kind.family in ("int", "decimal") else None,
                    None,
                    0,
                )
            )
    rows.sort(key=lambda row: (row[1], -int(row[2])))
    send(
        sink,
        [
            ("TYPE_NAME", SYSNAME),
            ("DATA_TYPE", SMALLINT),
            ("PRECISION", INT),
            ("LITERAL_PREFIX", SYSNAME),
            ("LITERAL_SUFFIX", SYSNAME),
            ("CREATE_PARAMS", SYSNAME),
            ("NULLABLE", SMALLINT),
            ("CASE_SENSITIVE", SMALLINT),
            ("SEARCHABLE", SMALLINT),
            ("UNSIGNED_ATTRIBUTE", SMALLINT),
            ("MONEY", SMALLINT),
            ("AUTO_INCREMENT", SMALLINT),
            ("LOCAL_TYPE_NAME", SYSNAME),
            ("MINIMUM_SCALE", SMALLINT),
            ("MAXIMUM_SCALE", SMALLINT),
            ("SQL_DATA_TYPE", SMALLINT),
            ("SQL_DATETIME_SUB", SMALLINT),
            ("NUM_PREC_RADIX", INT),
            ("INTERVAL_PRECISION", SMALLINT),
            ("USERTYPE", SMALLINT),
        ],
        rows,
    )


def keys(session: Session, values: list[tuple[str, Any]], sink: Sink) -> None:
    name = str(argument(values, "table_name", 0) or "")
    rows = session.fetch(
        "SELECT k.TABLE_CATALOG, k.TABLE_SCHEMA, k.TABLE_NAME, k.COLUMN_NAME, k.ORDINAL_POSITION, k.CONSTRAINT_NAME"
        f' FROM "{session.database}"._information_schema.key_column_usage k JOIN "{session.database}".'
        "_information_schema.table_constraints t USING (TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME)"
        " WHERE t.CONSTRAINT_TYPE = 'PRIMARY KEY' AND lower(k.TABLE_NAME) = $1 ORDER BY 5",
        [name.lower()],
    )
    send(
        sink,
        [
            ("TABLE_QUALIFIER", SYSNAME),
            ("TABLE_OWNER", SYSNAME),
            ("TABLE_NAME", SYSNAME),
            ("COLUMN_NAME", SYSNAME),
            ("KEY_SEQ", SMALLINT),
            ("PK_NAME", SYSNAME),
        ],
        rows,
    )
