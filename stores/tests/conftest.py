"""A PostgreSQL server for these tests, and an empty database of its own for each module."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest

from sandbox import home
from sandbox.postgres import Postgres
from stores.engine import Database
from stores.settings import DatabaseSettings
from stores.tables import initialize_database

T = TypeVar("T")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseSettings]:
    """A server that lives as long as the tests; `STORES_TEST_URL` names another."""
    if os.environ.get("STORES_TEST_URL"):
        yield DatabaseSettings.from_url(os.environ["STORES_TEST_URL"])
        return
    folder = tmp_path_factory.mktemp("pg")
    known = home.settings(folder)
    postgres = Postgres(folder, known)
    postgres.start()
    try:
        yield DatabaseSettings(
            "127.0.0.1", known.postgres_port, known.postgres_database, known.postgres_user, known.postgres_password
        )
    finally:
        postgres.stop()


@pytest.fixture(scope="module")
def settings(server: DatabaseSettings) -> Iterator[DatabaseSettings]:
    """A database with the stores' tables."""
    name = f"stores_{secrets.token_hex(4)}"
    with psycopg.connect(**server.libpq("tests"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    own = DatabaseSettings(server.host, server.port, name, server.user, server.password)
    asyncio.run(_initialize(own))
    yield own
    with psycopg.connect(**server.libpq("tests"), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


async def _initialize(settings: DatabaseSettings) -> None:
    db = Database(settings)
    try:
        await initialize_database(db)
    finally:
        await db.close()


class Runner:
    """Runs coroutines in one event loop, to which the pool belongs."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self.loop = asyncio.new_event_loop()
        self.db = Database(settings)

    def __call__(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 60))

    def close(self) -> None:
        self(self.db.close())
        self.loop.close()


@pytest.fixture
def run(settings: DatabaseSettings) -> Iterator[Runner]:
    """The runner, and `run.db`; every table is empty at the start."""
    with psycopg.connect(**settings.libpq("tests")) as connection:
        connection.execute(
            "DO $$ BEGIN EXECUTE (SELECT 'TRUNCATE ' || string_agg(format('%I.%I', schemaname, tablename), ', ')"
            " || ' RESTART IDENTITY CASCADE' FROM pg_tables WHERE schemaname IN"
            " ('tws', 'context', 'audit', 'analytics', 'learning', 'metrics')); END $$"
        )
    runner = Runner(settings)
    yield runner
    runner.close()


@pytest.fixture
def command_environment(settings: DatabaseSettings) -> dict[str, str]:
    """What a command finds in its environment."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("DATABASE_")},
        "PYTHONPATH": str(Path(__file__).parent.parent.parent),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DATABASE_HOST": settings.host,
        "DATABASE_PORT": str(settings.port),
        "DATABASE_NAME": settings.name,
        "DATABASE_USER": settings.user,
        "DATABASE_PASSWORD": settings.password or "",
    }


@pytest.fixture
def db(settings: DatabaseSettings) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the test's own."""
    with psycopg.connect(**settings.libpq("tests"), autocommit=True, prepare_threshold=None) as connection:
        yield connection


@pytest.fixture
def empty(db: psycopg.Connection[Any]) -> None:
    """As if nothing had ever been migrated."""
    db.execute("DROP SCHEMA IF EXISTS landing, archive, paralelo CASCADE")
    db.execute("DROP TABLE IF EXISTS paralelo_stores.migrated_row, paralelo_stores.migrated_store")
    db.execute(
        "DO $$ BEGIN EXECUTE (SELECT 'TRUNCATE ' || string_agg(format('%I.%I', schemaname, tablename), ', ')"
        " || ' RESTART IDENTITY CASCADE' FROM pg_tables WHERE schemaname IN"
        " ('tws', 'context', 'audit', 'analytics', 'learning', 'metrics')); END $$"
    )
