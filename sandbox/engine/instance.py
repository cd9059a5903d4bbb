"""One SQL Server instance: its databases, its logins and what is running on it.

Every database is one DuckDB file, attached to one DuckDB process under its own name. Writers take turns, as
if each locked its tables: DuckDB would refuse the second of two conflicting ones where SQL Server waits.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from ..tds.errors import Cancelled, SqlError
from . import catalog

if TYPE_CHECKING:
    from .session import Session

SYSTEM = ("master", "tempdb", "model", "msdb")


class WriterTurn:
    """A lock that belongs to a session, not to a thread, and whose wait a client can cancel."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._owner: object | None = None

    def take(self, owner: object, cancelled: Callable[[], bool], seconds: float | None) -> None:
        """Raises SqlError 1222 after `seconds`, Cancelled when the client gave up."""
        deadline = None if seconds is None else datetime.datetime.now().timestamp() + seconds
        with self._changed:
            while self._owner not in (None, owner):
                if cancelled():
                    raise Cancelled
                if deadline is not None and datetime.datetime.now().timestamp() >= deadline:
                    raise SqlError(1222, "Lock request time out period exceeded.", 16, 45)
                self._changed.wait(0.05)
            self._owner = owner

    def give_back(self, owner: object) -> None:
        with self._changed:
            if self._owner is owner:
                self._owner = None
                self._changed.notify_all()


class Instance:
    """`folder` holds the database files; None keeps all in memory."""

    def __init__(self, folder: Path | None, memory: str = "2GB", threads: int = 2) -> None:
        self.folder = folder
        self.connection = duckdb.connect()
        self.connection.execute(f"SET memory_limit = '{memory}'; SET threads = {threads}")
        self.connection.execute("SET arrow_lossless_conversion = true; SET enable_progress_bar = false")
        self.connection.execute("SET GLOBAL default_collation = 'NOCASE'; SET GLOBAL TimeZone = 'UTC'")
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self.connection.execute(f"SET temp_directory = {catalog.text(str(folder / 'spill'))}")
        script = resources.files(__package__).joinpath("functions.sql").read_text(encoding="utf-8")
        self.connection.execute(script)
        self.connection.execute(
            "CREATE TABLE databases (name VARCHAR, database_id INTEGER, create_date TIMESTAMP, snapshot BOOLEAN,"
            " read_committed_snapshot BOOLEAN);"
            "CREATE TABLE sessions (session_id INTEGER, login_name VARCHAR, host_name VARCHAR, program_name VARCHAR,"
            " database_id INTEGER, status VARCHAR, login_time TIMESTAMP, transaction_isolation_level SMALLINT,"
            " open_transaction_count INTEGER)"
        )
        self.turn = WriterTurn()
        self.sessions: dict[int, Session] = {}
        self.guard = threading.Lock()
        self.kill: Callable[[int], bool] = lambda spid: False
        self._next_database = 5
        for number, name in enumerate(SYSTEM, 1):
            self._attach(name, number)
        if folder is not None:
            for path in sorted(folder.glob("*.duckdb")):
                if path.stem not in SYSTEM:
                    self._attach(path.stem, self._next_database)
                    self._next_database += 1

    def _attach(self, name: str, number: int) -> None:
        in_memory = self.folder is None or name in SYSTEM[1:]
        place = ":memory:" if in_memory else str(self.folder and self.folder / f"{name}.duckdb")
        self.connection.execute(f"ATTACH {catalog.text(place)} AS {catalog.quoted(name)}")
        catalog.install(self.connection, name)
        self.connection.execute(
            "INSERT INTO databases VALUES ($1, $2, $3, true, true)",
            [name, number, datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)],
        )

    def has(self, name: str) -> bool:
        """Whether there is a database of that name, letters' case aside."""
        return self.name_of(name) is not None

    def name_of(self, name: str) -> str | None:
        rows = (
            self.connection.cursor()
            .execute("SELECT name FROM memory.main.databases WHERE lower(name) = $1", [name.lower()])
            .fetchall()
        )
        return rows[0][0] if rows else None

    def create_database(self, name: str) -> None:
        with self.guard:
            if self.has(name):
                raise SqlError(1801, f"Database '{name}' already exists. Choose a different database name.", 16, 3)
            self._attach(name, self._next_database)
            self._next_database += 1

    def drop_database(self, name: str) -> None:
        with self.guard:
            real = self.name_of(name)
            if real is None or real in SYSTEM:
                raise SqlError(
                    3701,
                    f"Cannot drop the database '{name}', because it does not exist or you do not have permission.",
                    11,
                )
            self.connection.execute("DELETE FROM databases WHERE name = $1", [real])
            self.connection.execute(f"DETACH {catalog.quoted(real)}")
            if self.folder is not None:
                (self.folder / f"{real}.duckdb").unlink(missing_ok=True)

    def checkpoint(self) -> None:
        """Write every database's log into its file, so that the next start is quick."""
        for (name,) in self.connection.execute("SELECT name FROM databases").fetchall():
            self.connection.execute(f"CHECKPOINT {catalog.quoted(name)}")

    def close(self) -> None:
        self.connection.close()
