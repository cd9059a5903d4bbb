"""One WMS stand-in and one PostgreSQL for all tests that need them; each changes what it likes of its own."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tap_oracle_wms.choices import choose
from tap_oracle_wms.discovery import describe
from tap_oracle_wms.source import EntitySource
from tap_oracle_wms.tap import TapOracleWms

sys.path.insert(0, str(Path(__file__).parent))

from wms_sides import ACCOUNT, ROWS, empty

from sandbox.home import HOST, settings
from sandbox.postgres import Postgres
from sandbox.wms.entities import ENTITIES
from sandbox.wms.server import WmsServer
from sandbox.wms.store import Store


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
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
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
    running.stop()


@pytest.fixture
def postgres(server: dict[str, Any]) -> dict[str, Any]:
    """The same, with nothing in the target."""
    empty(server)
    return server
