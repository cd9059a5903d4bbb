"""Rows of the tests' table, how to sync them and how to read them back."""

from __future__ import annotations

import datetime
import subprocess
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import server as embedded
from feed import Feed, load

START = datetime.datetime(2026, 1, 1)
LATER = START + datetime.timedelta(hours=1)
WAYS = pytest.mark.parametrize("activation", ["swap", "merge"])


def thing(number: int, **changed: Any) -> dict[str, Any]:
    """One row."""
    row = {"id": number, "Name": f"n{number}", "amount": Decimal(number) / 100, "status": 1, "mod_ts": START}
    return {**row, **changed}


def things(*numbers: int, **changed: Any) -> list[dict[str, Any]]:
    """Several rows."""
    return [thing(number, **changed) for number in numbers]


def sync(config: Any, feed: Feed, rows: list[dict[str, Any]], version: int, **more: Any) -> None:
    """One whole full sync."""
    feed.version = version
    load(config, feed.full(rows, page=7), **more)


def make_partitioned(db: psycopg.Connection[Any]) -> None:
    """The table, empty, its rows in partitions."""
    db.execute(
        'CREATE TABLE things (id bigint PRIMARY KEY, "name" varchar(10), amount numeric(38,2), status integer,'
        " mod_ts timestamp(6)) PARTITION BY RANGE (id)"
    )
    db.execute("CREATE TABLE things_all PARTITION OF things DEFAULT")


def ids(db: psycopg.Connection[Any], where: str = "true") -> list[int]:
    """The keys in the live table."""
    return [row[0] for row in db.execute(f"SELECT id FROM public.things WHERE {where} ORDER BY id")]


def last_sync(db: psycopg.Connection[Any], *columns: str) -> tuple[Any, ...]:
    """Figures of the sync begun last."""
    row = db.execute(f"SELECT {', '.join(columns)} FROM paralelo.sync ORDER BY id DESC LIMIT 1").fetchone()
    assert row is not None
    return tuple(row)


def outcome(db: psycopg.Connection[Any]) -> tuple[Any, ...]:
    """inserted, updated, unchanged, stale of the sync begun last."""
    return last_sync(db, "rows_inserted", "rows_updated", "rows_unchanged", "rows_stale")


def until(condition: Callable[[], Any]) -> Any:
    """Wait for a condition; fail when it does not come true."""
    deadline = time.monotonic() + 60
    while not (result := condition()):
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.01)
    return result


def described(server: embedded.Server, db: psycopg.Connection[Any]) -> str:
    """The table as `pg_dump` writes it, without its rows: independent of how the target reads the catalog."""
    command = [
        str(embedded.BIN / "pg_dump"),
        "--schema-only",
        "--restrict-key=x",
        "-t",
        "things",
        server.dsn(db.info.dbname),
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "CREATE TABLE" not in text and "CREATE UNLOGGED TABLE" not in text:
        raise AssertionError(text)
    return text
