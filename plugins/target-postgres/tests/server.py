"""The sandbox's embedded PostgreSQL, one of the tests' own: there is one way to start a server in this project."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from sandbox.home import HOST, settings
from sandbox.postgres import Postgres, binaries

BIN = binaries()


class Server:
    """A running server, and how to reach it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="target-postgres-tests-"))
        self._settings = settings(self.folder)
        self._postgres = Postgres(self.folder, self._settings)
        self.start()

    def start(self) -> None:
        """Start and wait until it answers."""
        self._postgres.start()

    def crash(self) -> None:
        """End it as a power cut would."""
        self._postgres.kill()

    def remove(self) -> None:
        """Stop it, so that it gives its shared memory back, and remove its data."""
        self._postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def config(self, database: str = "postgres", **more: Any) -> dict[str, Any]:
        """Settings for the target."""
        made = self._settings
        return {
            "host": HOST,
            "port": made.postgres_port,
            "user": made.postgres_user,
            "password": made.postgres_password,
            "database": database,
            **more,
        }

    def dsn(self, database: str = "postgres") -> str:
        """For the tests' own connections. The role and the ledger's schema have one name, which would come first."""
        made = self._settings
        password, path = f"password={made.postgres_password}", "options='-c search_path=public'"
        return f"host={HOST} port={made.postgres_port} user={made.postgres_user} {password} dbname={database} {path}"
