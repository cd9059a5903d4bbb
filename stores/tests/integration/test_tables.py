"""The migrations and the models describe the same tables."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from stores.models import SCHEMAS, Model
from stores.tables import VERSIONS_SCHEMA, downgrade, initialize_database, tables_present, upgrade


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
