"""The migrations and the models describe the same tables."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from stores.engine import Database
from stores.models import SCHEMAS, Model
from stores.settings import DatabaseSettings
from stores.tables import VERSIONS_SCHEMA, downgrade, initialize_database, tables_present, upgrade
from stores.tests.waiting import run_while_held


def _differences(connection: Connection) -> list[Any]:
    options = {
        "version_table_schema": VERSIONS_SCHEMA,
        "include_schemas": True,
        "include_name": lambda name, kind, _: kind != "schema" or name in SCHEMAS,
        "compare_type": True,
        "compare_server_default": True,
    }
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), Model.metadata))


def test_17_models_as_the_migrations_make_them(run: Any) -> None:
    async def differences() -> Any:
        async with run.db.engine.connect() as connection:
            return await connection.run_sync(_differences)

    assert len(Model.metadata.tables) == 17
    assert run(differences()) == []


def test_initialize_again_changes_nothing(run: Any) -> None:
    run(initialize_database(run.db))
    assert run(tables_present(run.db)) == 17


def test_initialize_by_a_role_that_may_only_use_what_is_there(settings: DatabaseSettings, db: Any) -> None:
    """An application calls it at every start, under a role that may create nothing."""
    role = "stores_application"
    db.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    try:
        db.execute(f"GRANT pg_read_all_data TO {role}")
        assert asyncio.run(_initialized(replace(settings, user=role, password="secret"))) == 17
    finally:
        db.execute(f"DROP ROLE {role}")


async def _initialized(settings: DatabaseSettings) -> int:
    own = Database(settings)
    try:
        await initialize_database(own)
        return await tables_present(own)
    finally:
        await own.close()


def test_one_database_in_one_event_loop_after_the_other(settings: DatabaseSettings) -> None:
    """As a program that calls asyncio.run() twice has it."""
    own = Database(settings)

    async def counted() -> list[int]:
        async with own.session() as session:
            found = (await session.execute(text("SELECT 1"))).scalar_one()
        return [found, (await own.fetch("SELECT 2"))[0][0], await tables_present(own)]

    assert asyncio.run(counted()) == [1, 2, 17]
    assert asyncio.run(counted()) == [1, 2, 17]


def test_back_and_forward(run: Any) -> None:
    async def there_and_back() -> tuple[int, int]:
        async with run.db.engine.begin() as connection:
            await connection.run_sync(downgrade)
        gone = await tables_present(run.db)
        async with run.db.engine.begin() as connection:
            await connection.run_sync(upgrade)
        return gone, await tables_present(run.db)

    run(run.db.execute("CREATE TABLE metrics.somebody_elses (a int)"))
    assert run(there_and_back()) == (0, 17)
    assert run(run.db.fetch("SELECT to_regclass('metrics.somebody_elses') IS NOT NULL"))[0][0]
    run(run.db.execute("DROP TABLE metrics.somebody_elses"))


def test_the_command(command_environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "stores.schema"]
    done = subprocess.run(command, env=command_environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "17 tables" in done.stdout
    assert done.stderr == ""
    back = subprocess.run(
        [*command, "--downgrade", "base"], env=command_environment, capture_output=True, text=True, check=False
    )
    assert "0 tables" in back.stdout, back.stderr
    assert (
        "17 of them made now"
        in subprocess.run(command, env=command_environment, capture_output=True, text=True, check=False).stdout
    )


def test_the_command_tells_of_a_certificate_that_is_not_there(command_environment: dict[str, str]) -> None:
    url = "postgresql://u:hidden@127.0.0.1:1/n?sslmode=verify-full&sslrootcert=/nowhere/root.crt"
    done = subprocess.run(
        [sys.executable, "-m", "stores.schema"],
        env={**command_environment, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "/nowhere/root.crt" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_two_that_make_the_tables_at_once_take_turns(
    db: psycopg.Connection[Any], command_environment: dict[str, str]
) -> None:
    turn = "SELECT pg_advisory_xact_lock(hashtextextended('paralelo stores schema', 0))"
    done = run_while_held(db, turn, [sys.executable, "-m", "stores.schema"], command_environment)
    assert (done.returncode, "17 tables" in done.stdout) == (0, True), done.stderr


def test_the_command_tells_of_a_wrong_setting(command_environment: dict[str, str]) -> None:
    env = {**command_environment, "DATABASE_PORT": "hidden"}
    command = [sys.executable, "-m", "stores.schema"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    unknown = subprocess.run(
        [*command, "--downgrade", "none"], env=command_environment, capture_output=True, text=True, check=False
    )
    assert unknown.returncode == 2, unknown.stderr


@pytest.mark.parametrize("wrong", [("PORT", "1"), ("PASSWORD", "hidden-and-wrong"), ("NAME", "no_such_database")])
def test_the_command_tells_of_a_database_that_cannot_be_had_without_the_password(
    wrong: tuple[str, str], command_environment: dict[str, str]
) -> None:
    env = {**command_environment, f"DATABASE_{wrong[0]}": wrong[1]}
    command = [sys.executable, "-m", "stores.schema"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert env["DATABASE_PASSWORD"] not in done.stderr
