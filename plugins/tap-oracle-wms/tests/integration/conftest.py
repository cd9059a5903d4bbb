"""One WMS stand-in and one PostgreSQL for all tests that need them; each changes what it likes of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from tap_oracle_wms.discovery import describe
from tap_oracle_wms.source import EntitySource, choose
from tap_oracle_wms.tap import TapOracleWms

from sandbox.home import HOST, settings
from sandbox.postgres import Postgres
from sandbox.wms.entities import ENTITIES
from sandbox.wms.server import Account, WmsServer
from sandbox.wms.store import Store, key_of

ACCOUNT = Account("reader", "a-secret-word", "client", "another-secret-word")
ROWS = {"allocation": 6_000, "order_hdr": 500, "order_dtl": 900}


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WmsServer]:
    """A stand-in with 6,000 allocations, 500 order headers and 900 order details."""
    folder = tmp_path_factory.mktemp("wms")
    store = Store(folder)
    for name, rows in ROWS.items():
        store.load(ENTITIES[name], rows)
    store.close()
    with WmsServer(folder, ACCOUNT) as server:
        yield server


@pytest.fixture
def wms(loaded: WmsServer) -> Iterator[WmsServer]:
    """The same, without faults left from another test."""
    yield loaded
    loaded.faults.set([])
    loaded.latency, loaded.token_seconds = 0.0, 3600.0
    loaded.log_path.write_text("")


@pytest.fixture
def config(wms: WmsServer, tmp_path: Path) -> dict[str, Any]:
    """The tap's settings, with quick repetitions and limits of the test's own."""
    return {
        "base_url": wms.base_url,
        "username": ACCOUNT.user,
        "password": ACCOUNT.password,
        "entities": ["allocation"],
        "sync_mode": "full",
        "page_size": 250,
        "requests_per_second": 5_000,
        "retry_wait_seconds": 0,
        "limits_root": str(tmp_path / "limits"),
    }


@pytest.fixture
def source(config: dict[str, Any]) -> Iterator[Callable[..., EntitySource]]:
    """Makes an opened entity; settings may be given."""
    opened: list[EntitySource] = []

    def make(entity: str = "allocation", **more: Any) -> EntitySource:
        tap = TapOracleWms(config={**config, "entities": [entity], **more})
        client = tap.client()
        description = describe(client, entity, tap.config)
        made = EntitySource(
            entity, choose(description, tap.config, lambda _: True), tap.config, client, logging.getLogger("test")
        )
        opened.append(made)
        return made

    yield make
    for one in opened:
        one.close()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """target-postgres's settings for a PostgreSQL of the tests' own."""
    folder = tmp_path_factory.mktemp("postgres")
    folder.chmod(0o755)
    made = settings(folder)
    running = Postgres(folder, made)
    running.start()
    yield {
        "host": HOST,
        "port": made.postgres_port,
        "user": made.postgres_user,
        "password": made.postgres_password,
        "database": made.postgres_database,
        "ssl_mode": "disable",
    }
    running.kill()


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
    with psycopg.connect(
        host=postgres["host"],
        port=postgres["port"],
        user=postgres["user"],
        password=postgres["password"],
        dbname=postgres["database"],
    ) as connection:
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
