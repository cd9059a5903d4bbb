"""Both sides as Python values: what the stand-in's own database holds, and what PostgreSQL does."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from sandbox.wms.entities import ENTITIES
from sandbox.wms.server import Account, WmsServer
from sandbox.wms.store import key_of

ACCOUNT = Account("reader", "a-secret-word", "client", "another-secret-word")
ROWS = {"allocation": 6_000, "order_hdr": 500, "order_dtl": 900}


def expected(server: WmsServer, entity: str) -> dict[int, dict[str, Any]]:
    """The rows the target has to hold, from the stand-in's own database, by id."""
    names, selected = [], []
    for field in ENTITIES[entity].fields:
        column = f'"{field.name}"'
        if field.type == "set":
            names.append(f"{field.name}_count")
        else:
            names.append(field.name)
        selected.append(f"{column} AT TIME ZONE 'UTC'" if field.type == "datetime" else column)
        if field.type == "relation":
            names.append(field.name.removesuffix("_id") + "_key")
            selected.append(f"CASE WHEN {column} IS NOT NULL THEN {key_of(field)} END")
    rows = server.store.ask(f'SELECT {", ".join(selected)} FROM "{entity}"')
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}


def copied(postgres: dict[str, Any], table: str) -> dict[int, dict[str, Any]]:
    """The rows the target holds, by id; every id once."""
    with _connect(postgres) as connection:
        cursor = connection.execute(sql.SQL("SELECT * FROM public.{}").format(sql.Identifier(table)))
        names = [column.name for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    found = {row["id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def difference(here: dict[int, dict[str, Any]], there: dict[int, dict[str, Any]]) -> str:
    """What differs; empty when both are equal to the last value."""
    told = []
    if here.keys() != there.keys():
        told.append(f"missing {sorted(here.keys() - there.keys())[:5]}, extra {sorted(there.keys() - here.keys())[:5]}")
    for one in sorted(here.keys() & there.keys()):
        if here[one] != there[one]:
            columns = sorted(name for name in here[one] if here[one][name] != there[one].get(name))
            told.append(f"{one}: {columns or sorted(there[one].keys() - here[one].keys())}")
    return "; ".join(told[:5])


def empty(postgres: dict[str, Any]) -> None:
    """Take all tables and the ledger out of the target.

    A test's sync that begins with no saved state would else have the version of another test's, where both began in
    one second of the API's clock.
    """
    with _connect(postgres) as connection:
        connection.execute("DROP SCHEMA IF EXISTS paralelo CASCADE")
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def _connect(postgres: dict[str, Any]) -> psycopg.Connection:
    return psycopg.connect(
        host=postgres["host"],
        port=postgres["port"],
        user=postgres["user"],
        password=postgres["password"],
        dbname=postgres["database"],
    )
