"""Both sides row by row as Python values: slow, simple, and independent of everything it checks."""

from __future__ import annotations

from typing import Any

import mssql_python
import psycopg
from psycopg import sql


def source_rows(source: mssql_python.Connection, table: str, key: str = "id") -> dict[Any, tuple[Any, ...]]:
    """Every row of a SQL Server table by its key."""
    cursor = source.cursor()
    cursor.execute(f"SELECT * FROM {table}")
    names = [column[0].lower() for column in cursor.description or ()]
    at = names.index(key)
    return {row[at]: tuple(row) for row in map(tuple, cursor.fetchall())}


def target_rows(target: psycopg.Connection[Any], table: str, key: str = "id") -> dict[Any, tuple[Any, ...]]:
    """Every row of a PostgreSQL table by its key. Raises AssertionError when a key is there twice."""
    with target.cursor() as cursor:
        cursor.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(*table.split("."))))
        names = [column.name for column in cursor.description or ()]
        at = names.index(key)
        rows = cursor.fetchall()
    found = {row[at]: tuple(row) for row in rows}
    assert len(found) == len(rows), f"{table}: {len(rows) - len(found)} keys are there more than once"
    return found


def differences(source: dict[Any, tuple[Any, ...]], target: dict[Any, tuple[Any, ...]]) -> str:
    """What differs, by key, without values; empty when both sides are equal."""
    missing = sorted(source.keys() - target.keys())
    extra = sorted(target.keys() - source.keys())
    changed = sorted(key for key in source.keys() & target.keys() if source[key] != target[key])
    parts = []
    for name, keys in (("missing", missing), ("extra", extra), ("different", changed)):
        if keys:
            parts.append(f"{len(keys)} {name}, the first {keys[:5]}")
    return "; ".join(parts)
