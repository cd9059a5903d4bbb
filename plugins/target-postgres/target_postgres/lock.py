"""One sync of a table at a time: advisory locks that the server frees when their holder dies."""

from __future__ import annotations

import contextlib

import psycopg
from psycopg import errors as pg
from sync_rules.exits import AlreadyRunning, TargetUnreachable

from target_postgres.catalog import TableName
from target_postgres.connection import Connection, connect
from target_postgres.errors import tell
from target_postgres.names import MAX_BYTES
from target_postgres.queries import query
from target_postgres.settings import Settings


class Locks:
    """The locks of one run, held on a connection of their own for as long as this object is open.

    A killed target's backend may still be busy with its last statement when the lock is free again. So the working
    connection takes a second lock (`hold_work`), and a new run waits for that one before it touches the table.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: Connection | None = None
        self._held: set[TableName] = set()

    def take(self, table: TableName, mode: str) -> None:
        """Take the table's lock for a `full` or `incremental` sync, or fail at once.

        Raises AlreadyRunning, saying who holds it and since when.
        """
        if table in self._held:
            return
        if self._connection is None:
            self._connection = connect(self._settings, f"{mode} {table}")
        try:
            self._name_connection(self._connection, table, mode)
            if not _lock(self._connection, table):
                raise AlreadyRunning(f"{table}: {_holder(self._connection, table)}")
        except psycopg.Error as error:
            raise tell(error, f"{table}: its lock cannot be taken") from error
        self._held.add(table)

    def _name_connection(self, connection: Connection, table: TableName, mode: str) -> None:
        others = f" and {len(self._held)} more" if self._held else ""
        name = f"{self._settings.application_name} {mode} {table}{others}"
        shown = name.encode()[:MAX_BYTES].decode(errors="ignore")
        connection.execute("SELECT set_config('application_name', %s, false)", [shown])

    def check(self) -> None:
        """Raise TargetUnreachable when the connection is gone, or its backend another, and with it the locks."""
        try:
            if self._connection is None:
                return
            held = self._connection.execute(query("locks.held")).fetchone()
        except psycopg.Error as error:
            raise tell(error, "the connection that holds the table's lock was lost") from error
        if held is None or held[0] < len(self._held):
            raise TargetUnreachable(
                "the session that held the table's lock is another now: connect to the server itself, or to a pooler in"
                " session mode"
            )

    def drop(self) -> None:
        """End the connection without a word to the server, which may not answer any more."""
        if self._connection is not None:
            self._connection.close()

    def close(self) -> None:
        """Free the locks. By a statement, since a closed connection's backend takes its time to end."""
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.execute("SELECT pg_advisory_unlock_all()")
            self._connection.close()


def hold_work(connection: Connection, table: TableName) -> None:
    """Take the second lock on the working connection. Raises AlreadyRunning when a dead run's work goes on."""
    try:
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '60s'")
            connection.execute(query("locks.wait_for_work"), {"name": _key(table)})
    except pg.LockNotAvailable as error:
        raise AlreadyRunning(
            f"{table}: the backend of an earlier, dead run still works on it; run again when it has ended"
        ) from error


def _lock(connection: Connection, table: TableName) -> bool:
    """Take the lock. A killed run's backend may need a moment to notice: that long it is waited for, and no longer."""
    if connection.execute(query("locks.try_table"), {"name": _key(table)}).fetchone() == (True,):
        return True
    try:
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '2s'")
            connection.execute(query("locks.wait_for_table"), {"name": _key(table)})
    except pg.LockNotAvailable:
        return False
    return True


def _key(table: TableName) -> str:
    return f"paralelo:{table}"


def _holder(connection: Connection, table: TableName) -> str:
    row = connection.execute(query("locks.holder"), {"name": _key(table)}).fetchone()
    if row is None:
        return "another sync held its lock just now; run again"
    application, pid, user, since = row
    return f"another sync holds its lock: {application!r} (backend {pid}, role {user}), since {since}"
