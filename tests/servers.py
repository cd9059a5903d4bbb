"""The two servers a test talks to, and the plugins' settings for them."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mssql_python
import psycopg
from tap_mssql import native

from sandbox.lifecycle import Sandbox

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Servers:
    """A started sandbox, as the tests use it."""

    sandbox: Sandbox

    @property
    def source_address(self) -> tuple[str, int]:
        """Where the SQL Server stand-in listens."""
        return HOST, self.sandbox.settings.mssql_port

    @property
    def target_address(self) -> tuple[str, int]:
        """Where PostgreSQL listens."""
        return HOST, self.sandbox.settings.postgres_port

    def tap_config(self, port: int | None = None) -> dict[str, Any]:
        """tap-mssql's connection; `port` to go through a proxy."""
        made = self.sandbox.settings
        return {
            "host": HOST,
            "port": port or made.mssql_port,
            "user": made.mssql_user,
            "password": made.mssql_password,
            "database": made.mssql_database,
            "trust_server_certificate": True,
            "connect_timeout_seconds": 20,
        }

    def target_config(self, port: int | None = None) -> dict[str, Any]:
        """target-postgres's connection; `port` to go through a proxy."""
        made = self.sandbox.settings
        return {
            "host": HOST,
            "port": port or made.postgres_port,
            "user": made.postgres_user,
            "password": made.postgres_password,
            "database": made.postgres_database,
            "ssl_mode": "disable",
            "connect_timeout_seconds": 20,
        }

    def connect_source(self) -> mssql_python.Connection:
        """A connection of the test's own, which commits each statement."""
        native.ready()
        return mssql_python.connect(self.sandbox.mssql, autocommit=True)

    def connect_target(self) -> psycopg.Connection[Any]:
        """A connection of the test's own, which commits each statement."""
        made = self.sandbox.settings
        return psycopg.connect(
            host=HOST,
            port=made.postgres_port,
            user=made.postgres_user,
            password=made.postgres_password,
            dbname=made.postgres_database,
            autocommit=True,
            application_name="test",
        )


@contextlib.contextmanager
def started(rows: int) -> Iterator[Servers]:
    """A sandbox in a temporary folder with that many rows of bi_credores, half of resumo_faixas; gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="paralelo-test-"))
    sandbox = Sandbox(folder)
    try:
        sandbox.start()
        sandbox.load("bi_credores", rows)
        sandbox.load("resumo_faixas", max(1, rows // 2))
        yield Servers(sandbox)
    finally:
        sandbox.stop()
        shutil.rmtree(folder, ignore_errors=True)
