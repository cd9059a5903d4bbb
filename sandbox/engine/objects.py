"""Tables and views as objects of the catalog: their names, numbers and columns."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from sqlglot import exp

from ..tds.errors import SqlError
from . import catalog
from .catalog import BASE, Column, Table, quoted

if TYPE_CHECKING:
    from .session import Session


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)


def _names(session: Session, node: exp.Table) -> tuple[str, str, str]:
    database = session.instance.name_of(node.catalog or session.database)
    if database is None:
        raise SqlError(2702, f"Database '{node.catalog}' does not exist.")
    schema = node.db or "dbo"
    known = session.fetch(
        f"SELECT name FROM {quoted(database)}.{BASE}.schemas WHERE lower(name) = $1", [schema.lower()]
    )
    if not known:
        raise SqlError(
            2760, f'The specified schema name "{schema}" either does not exist or you do not have permission to use it.'
        )
    return database, known[0][0], node.name


def _next_id(session: Session, database: str) -> int:
    base = f"{quoted(database)}.{BASE}.counters"
    session.fetch(f"UPDATE {base} SET value = value + 16000057 WHERE name = 'object_id'")
    value = int(session.fetch(f"SELECT value FROM {base} WHERE name = 'object_id'")[0][0])
    return value % 2_147_483_647


def register(session: Session, node: exp.Table, kind: str, columns: list[Column], definition: str | None) -> Table:
    """Enter a table or view in the catalog and, for a table, make DuckDB's."""
    database, schema, name = _names(session, node)
    if catalog.find(session.cursor, database, schema, name):
        raise SqlError(2714, f"There is already an object named '{name}' in the database.", 16, 6)
    if not session.administrator:
        raise SqlError(262, f"CREATE TABLE permission denied in database '{database}'.", 14)
    ident = _next_id(session, database)
    base = f"{quoted(database)}.{BASE}"
    session.fetch(
        f"INSERT INTO {base}.objects SELECT $1, $2, schema_id, 0, $3, $4, $4, $5 FROM {base}.schemas WHERE name = $6",
        [ident, name, kind, _now(), definition, schema],
    )
    made = Table(database, schema, name, ident, kind, tuple(columns))
    for number, column in enumerate(columns, 1):
        enter_column(session, made, column, number)
    if kind == "U":
        listed = ", ".join(f"{quoted(c.name)} {c.type.duckdb}{'' if c.nullable else ' NOT NULL'}" for c in columns)
        session.fetch(f"CREATE TABLE {made.reference} ({listed})")
    return made


def enter_column(session: Session, table: Table, column: Column, number: int, seed: int = 1, step: int = 1) -> None:
    kind = column.type
    session.fetch(
        f"INSERT INTO {quoted(table.database)}.{BASE}.columns VALUES"
        " ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, NULL, $16, $17, NULL)",
        [
            table.ident,
            number,
            column.name,
            kind.name,
            kind.length,
            kind.precision,
            kind.scale,
            kind.max_length,
            kind.catalog_precision,
            kind.catalog_scale,
            column.nullable,
            column.identity,
            column.sparse,
            column.default,
            column.computed,
            seed if column.identity else None,
            step if column.identity else None,
        ],
    )


def found_table(session: Session, node: exp.Table, number: int = 4902) -> Table:
    database, schema, name = _names(session, node)
    table = catalog.find(session.cursor, database, schema, name)
    if table is None:
        raise SqlError(
            number, f'Cannot find the object "{name}" because it does not exist or you do not have permissions.'
        )
    return table
