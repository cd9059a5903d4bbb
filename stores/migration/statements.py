"""The migration's SQL, by name, with its names filled in."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from psycopg import sql

from stores.migration.files import LANDING, SourceTable, Store

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
    return sql.SQL(_statements(file)[heading]).format(**parts)


def functions() -> sql.SQL:
    """The rules, as functions in the database."""
    return sql.SQL(_file("functions"))


def mapping(store: Store, table: SourceTable) -> sql.Composed:
    """The query that maps an old table. `{name}` in it is another of the store's landing tables."""
    text = _statements("mappings")[f"{store.layout.name}.{table.name}"]
    others = {other.name: sql.Identifier(LANDING, store.landing_table(other.name)) for other in store.tables}
    braces = text.replace("{}", "{{}}")
    return sql.SQL(braces).format(**others)
