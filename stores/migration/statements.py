"""The migration's SQL, by name, with its names filled in."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from string import Formatter

from psycopg import sql

from stores.migration.files import LANDING, ROWID, SourceTable, Store

_NOTHING = sql.SQL("(SELECT NULL::bigint AS _rowid, NULL::text AS threshold_name WHERE false)")
"""In place of a table that a mapping looks into, and that is not in the file or empty."""

_HEADING = re.compile(r"^-- name: ([\w.]+)$", re.MULTILINE)


@cache
def _file(name: str) -> str:
    return (files("stores.migration") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


@cache
def _statements(name: str) -> dict[str, str]:
    parts = _HEADING.split(_file(name))[1:]
    return {heading: body.strip() for heading, body in zip(parts[::2], parts[1::2], strict=True)}


def statement(name: str, **parts: sql.Composable) -> sql.Composed:
    """`ledger.store` is the statement `store` of `sql/ledger.sql`; `{placeholders}` take names or pieces of SQL."""
    file, _, heading = name.partition(".")
    text = _statements(file)[heading]
    beside_values = "%(" in text
    return sql.SQL(text).format(**{name: _doubled(part) if beside_values else part for name, part in parts.items()})


def _doubled(part: sql.Composable) -> sql.Composable:
    """The part with each % of a name twice: where values are bound, psycopg takes a single one for a placeholder."""
    if isinstance(part, sql.Composed):
        return sql.Composed([_doubled(one) for one in part])
    return sql.SQL(part.as_string().replace("%", "%%")) if isinstance(part, sql.Identifier) else part


def functions() -> sql.SQL:
    """The rules, as functions in the database."""
    return sql.SQL(_file("functions"))


def mapping(store: Store, table: SourceTable) -> sql.Composed:
    """The query that maps an old table. `{name}` in it is another of the store's landing tables."""
    text = _statements("mappings")[f"{store.layout.name}.{table.kind}"]
    landed = {other.kind: source_of(store, other) for other in store.tables if other.rows}
    braces = text.replace("{}", "{{}}")
    named = {name for _, name, _, _ in Formatter().parse(braces) if name}
    return sql.SQL(braces).format(**{name: landed.get(name, _NOTHING) for name in named})


def source_of(store: Store, table: SourceTable) -> sql.Composable:
    """The landing table, for FROM. Where the old table had no rowid, its rows get a number from their key's values: the
    same row gets the same number each time, and where two keys got one, the ledger would refuse them.
    """
    landing = sql.Identifier(LANDING, store.landing_table(table.name))
    if table.rowid is not None:
        return landing
    key = sql.SQL(", ").join(sql.Identifier("t", name) for name in table.key)
    return sql.SQL(
        "(SELECT hashtextextended(k.key || ' ' || row_number() OVER (PARTITION BY k.key), 0) AS _rowid, {}"
        " FROM {} AS t CROSS JOIN LATERAL (SELECT json_build_array({})::text AS key) AS k)"
    ).format(_others(table), landing, key)


def _others(table: SourceTable) -> sql.Composable:
    """All columns of a table whose rows are given their number; one of its own that is called so gives way."""
    if table.own_rowid is None:
        return sql.SQL("t.*")
    renamed = {ROWID: table.own_rowid}
    names = [
        sql.SQL("{} AS {}").format(sql.Identifier("t", name), sql.Identifier(renamed.get(name, name)))
        for name in table.columns
    ]
    return sql.SQL(", ").join(names)
