"""The stand-in's own catalog: what was declared, beside what DuckDB stores.

DuckDB cannot say varchar(14) or datetime2(7), so each database keeps, in a schema of its own, one row per
object and column as T-SQL declared it. They are ordinary tables: DDL and its catalog rows commit together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

import duckdb

from ..tds.tokens import ResultColumn
from ..tds.types import COLLATION_NAME, KINDS, SqlType

BASE, SYSTEM, INFORMATION = "_catalog", "_sys", "_information_schema"


@dataclass(frozen=True)
class Column:
    """A declared column; `default` and `computed` are T-SQL expressions."""

    name: str
    type: SqlType
    nullable: bool = True
    identity: bool = False
    default: str | None = None
    computed: str | None = None
    sparse: bool = False
    ident: int = 0

    def result(self) -> ResultColumn:
        return ResultColumn(self.name, self.type, self.nullable, self.identity, self.computed is not None)


@dataclass(frozen=True)
class Table:
    """A table or view: `kind` is `U`, `V`, or `S` for one of the catalog's own views."""

    database: str
    schema: str
    name: str
    ident: int
    kind: str
    columns: tuple[Column, ...]

    @property
    def reference(self) -> str:
        """Its name in DuckDB."""
        return f"{quoted(self.database)}.{quoted(self.schema)}.{quoted(self.name)}"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


def install(connection: duckdb.DuckDBPyConnection, database: str) -> None:
    """Make the catalog of a database, or bring its views up to date."""
    script = resources.files(__package__).joinpath("views.sql").read_text(encoding="utf-8")
    for statement in script.replace("$DB", quoted(database)).replace("$COLLATION", COLLATION_NAME).split(";\n"):
        if statement.strip():
            connection.execute(statement)
    rows = [
        [
            name,
            kind.system_id,
            kind.user_id,
            kind.size,
            kind.precision,
            kind.scale,
            COLLATION_NAME if kind.family == "string" and name not in ("xml", "sql_variant") else None,
            name in ("hierarchyid", "geometry", "geography"),
        ]
        for name, kind in KINDS.items()
    ]
    connection.execute(f"DELETE FROM {quoted(database)}.{BASE}.types")
    connection.executemany(f"INSERT INTO {quoted(database)}.{BASE}.types VALUES (?,?,?,?,?,?,?,?)", rows)


def find(cursor: duckdb.DuckDBPyConnection, database: str, schema: str, name: str) -> Table | None:
    """The table or view of that name, letters' case aside."""
    base = f"{quoted(database)}.{BASE}"
    lowered = schema.lower()
    if lowered in ("sys", "information_schema"):
        return _system(cursor, database, SYSTEM if lowered == "sys" else INFORMATION, name.lower())
    matches = cursor.execute(
        f"SELECT o.object_id, s.name, o.name, o.type FROM {base}.objects o JOIN {base}.schemas s USING (schema_id)"
        " WHERE lower(s.name) = $1 AND lower(o.name) = $2 AND o.type IN ('U', 'V')",
        [lowered, name.lower()],
    ).fetchall()
    if not matches:
        return None
    found = matches[0]
    rows = cursor.execute(
        "SELECT name, type_name, length, precision, scale, is_nullable, is_identity, default_definition,"
        f" computed_definition, is_sparse, column_id FROM {base}.columns WHERE object_id = $1 ORDER BY column_id",
        [found[0]],
    ).fetchall()
    columns = tuple(Column(r[0], SqlType(r[1], r[2], r[3], r[4]), r[5], r[6], r[7], r[8], r[9], r[10]) for r in rows)
    return Table(database, found[1], found[2], found[0], found[3], columns)


_SYSTEM_TYPES = {
    "VARCHAR": SqlType("nvarchar", 128),
    "INTEGER": SqlType("int"),
    "BIGINT": SqlType("bigint"),
    "SMALLINT": SqlType("smallint"),
    "UTINYINT": SqlType("tinyint"),
    "BOOLEAN": SqlType("bit"),
    "TIMESTAMP": SqlType("datetime"),
    "BLOB": SqlType("varbinary", 85),
}
LONG_TEXT = frozenset({"definition", "view_definition", "column_default"})


def _view_columns(rows: Iterable[tuple[str, str]]) -> tuple[Column, ...]:
    return tuple(
        Column(
            name,
            SqlType("nvarchar", 4000)
            if name.lower() in LONG_TEXT
            else SqlType("char", 2)
            if name == "type" and kind == "VARCHAR"
            else _SYSTEM_TYPES.get(kind, SqlType("nvarchar", 4000)),
        )
        for name, kind in rows
    )


_views: dict[tuple[str, str], tuple[Column, ...]] = {}
"""The catalog's views by schema and name: every database has the same, and DuckDB takes its time to list them."""


def _system(cursor: duckdb.DuckDBPyConnection, database: str, schema: str, name: str) -> Table | None:
    if (schema, name) not in _views:
        rows = cursor.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE lower(database_name) = $1 AND schema_name = $2"
            " AND lower(table_name) = $3 ORDER BY column_index",
            [database.lower(), schema, name],
        ).fetchall()
        if not rows:
            return None
        _views[schema, name] = _view_columns(rows)
    return Table(database, schema, name, 0, "S", _views[schema, name])
