"""What one run holds at the target: a working connection and the locks of its tables."""

from __future__ import annotations

import psycopg
from sync_rules.exits import ConfigurationError

from target_postgres import ddl, ledger, leftovers
from target_postgres.catalog import TableName
from target_postgres.connection import Connection, connect
from target_postgres.errors import tell
from target_postgres.job import Job
from target_postgres.lock import Locks, hold_work
from target_postgres.settings import Settings


class Session:
    """Made when the first table is met: `--about` and an empty input need no database."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._locks = Locks(settings)
        self._connection: Connection | None = None
        self._streams: dict[TableName, str] = {}

    def use(self, job: Job) -> Connection:
        """Lock the job's table and return the working connection.

        Raises AlreadyRunning, or ConfigurationError when another stream of this run goes to the same table.
        """
        other = self._streams.setdefault(job.live, job.stream)
        if other != job.stream:
            raise ConfigurationError(f"the streams {other!r} and {job.stream!r} would both be written to {job.live}")
        self._locks.take(job.live, job.mode)
        if self._connection is None:
            self._connection = connect(self._settings, f"load {job.live}")
        try:
            _check_replacement(self._connection, job)
            hold_work(self._connection, job.live)
            ledger.ensure(self._connection)
            ddl.create_schema(self._connection, job.live.schema)
            self._check_stream(self._connection, job)
            leftovers.remove(self._connection, self._settings, job.live)
        except psycopg.Error as error:
            raise tell(error, f"{job.live}: the target cannot be made ready") from error
        return self._connection

    def _check_stream(self, connection: Connection, job: Job) -> None:
        """A table of one name in two schemas or databases would be written over, and each other's rows be stale."""
        other = ledger.stream_of(connection, job.live) if job.ours else None
        if other is not None and other.casefold() != job.stream.casefold():
            raise ConfigurationError(
                f"{job.live} holds the rows of {other!r}, and those of {job.stream!r} would be written over them: give"
                " one of the two another default_target_schema, or drop the table where it is to hold the new ones only"
            )

    def check(self) -> None:
        """Raise TargetUnreachable when the locks were lost."""
        self._locks.check()

    def close(self) -> None:
        """End both connections; what was not committed is rolled back."""
        if self._connection is not None:
            self._connection.close()
        self._locks.close()

    def drop(self) -> None:
        """As `close`, waiting for nothing."""
        if self._connection is not None:
            self._connection.close()
        self._locks.drop()


def _check_replacement(connection: Connection, job: Job) -> None:
    """A database of another encoding than UTF8 may have no place for what a NUL character is replaced by."""
    if job.rules.nul_characters != "replace":
        return
    try:
        connection.execute("SELECT %s::text", [job.rules.nul_replacement])
    except psycopg.errors.UntranslatableCharacter as error:
        encoding = connection.info.parameter_status("server_encoding")
        raise ConfigurationError(
            f"{job.live}: the database's encoding {encoding} has no place for nul_replacement, which NUL characters are"
            " replaced by: set another text, or nul_characters to strip or reject"
        ) from error
