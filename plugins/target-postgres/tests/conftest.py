"""One server for all tests, one database for each."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import server as embedded


@pytest.fixture(scope="session")
def server() -> Iterator[embedded.Server]:
    """A running server, gone after the tests."""
    running = embedded.Server()
    yield running
    running.remove()


_count = 0


@pytest.fixture
def database(server: embedded.Server) -> Iterator[str]:
    """An empty database."""
    global _count
    _count += 1
    name = f"test_{_count}"
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield name
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def config(server: embedded.Server, database: str) -> dict[str, Any]:
    """Settings for a target that writes to the empty database."""
    return server.config(database)


@pytest.fixture
def db(server: embedded.Server, database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the test's own."""
    with psycopg.connect(server.dsn(database), autocommit=True, prepare_threshold=None) as connection:
        yield connection


@pytest.fixture
def ordinary(config: dict[str, Any], db: psycopg.Connection[Any]) -> Iterator[dict[str, Any]]:
    """Settings for a target whose role, `loader`, may create tables and is no superuser."""
    db.execute("CREATE ROLE loader LOGIN PASSWORD 'loader'")
    db.execute(f"GRANT ALL ON DATABASE {db.info.dbname} TO loader; GRANT ALL ON SCHEMA public TO loader")
    yield {**config, "user": "loader", "password": "loader"}
    db.execute("DROP OWNED BY loader CASCADE; DROP ROLE loader")


@pytest.fixture
def feed(tmp_path: Path) -> Any:
    """A tap of ours for one table."""
    from feed import Feed

    return Feed(tmp_path)
