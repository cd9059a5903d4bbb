"""What ran, when, for how long, how many rows, how it ended: kept in the target database, shown by one command."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from sync_rules.exits import SyncError

from paralelo import progress
from paralelo.queries import query
from paralelo.score import Past

KEEP_DAYS = 400
DIED = "its supervisor was killed, or its machine stopped"
_COMPARED = 20
"""Earlier runs that a run is compared with, at most."""
LEAST_ROWS = 1_000
"""A run of fewer rows says more of Meltano's start than of the sync's speed."""


@dataclass(frozen=True)
class Record:
    """One table of one run, as it is written down. `exit` and all counts are None while it runs."""

    run: str
    name: str
    table_schema: str
    table_name: str
    mode: str
    job: str
    environment: str
    host: str
    outcome: str = "running"
    exit: int | None = None
    reason: str = ""
    attempts: int = 1
    recoveries: Mapping[str, int] = field(default_factory=dict)
    sync_id: int | None = None
    rows_read: int | None = None
    rows_written: int | None = None
    rows_unchanged: int | None = None
    rows_stale: int | None = None
    rows_rejected: int | None = None
    seconds: float | None = None
    peak_memory: int | None = None

    @property
    def values(self) -> dict[str, Any]:
        """What the statements bind."""
        return {**self.__dict__, "recoveries": Jsonb(dict(self.recoveries))}


def ensure(connection: progress.Connection) -> None:
    """Create the table where it is missing."""
    if not _there(connection):
        _create(connection)
    if not _there(connection, "history.indexed"):
        _index(connection)


# Two runs that start at once would both find nothing there, and one of them would fail to create it.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('paralelo:ledger', 0))"


def _create(connection: progress.Connection) -> None:
    with connection.transaction():
        connection.execute(_ONE_AT_A_TIME)
        if not _there(connection, "history.schema_exists"):
            # Asked first: it takes CREATE in the database, which a role need not have once the schema is there.
            connection.execute(query("history.create_schema"))
        connection.execute(query("history.create"))


def _index(connection: progress.Connection) -> None:
    """Of a history or a ledger that has none, an older version's maybe. Whoever writes to it waits meanwhile, so each
    by itself, and none behind a sync that keeps it: a later run tries again."""
    names = ["run_by_name", "run_by_table", *(["sync_by_mode"] if progress.ledger_exists(connection) else [])]
    for name in names:
        with suppress(psycopg.errors.LockNotAvailable), connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '1s'")
            connection.execute(_ONE_AT_A_TIME)
            connection.execute(query(f"history.{name}"))


def write(statement: str, record: Record, env: Mapping[str, str] | None = None) -> str | None:
    """`begin`, `attempt` or `end` a record. Returns what went wrong: history that cannot be kept ends no sync."""

    def keep(connection: progress.Connection) -> None:
        ensure(connection)
        connection.execute(query(f"history.{statement}"), record.values)
        if statement == "end":
            connection.execute(query("history.forget_old"), {"days": KEEP_DAYS})
            _tell_the_stores(connection, record)

    try:
        progress.ask(keep, env, read_only=False)
    except (psycopg.Error, SyncError) as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return None


def bury(runs: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    """Mark what these runs left as running as failed: their supervisors are dead, and told nobody."""

    def mark(connection: progress.Connection) -> None:
        if _there(connection):
            connection.execute(query("history.bury"), {"runs": list(runs), "reason": DIED})

    if runs:
        with suppress(psycopg.Error, SyncError):
            progress.ask(mark, env, read_only=False)


def _tell_the_stores(connection: progress.Connection, record: Record) -> None:
    """Write the run into the stores, where the target has them: its end as a job's state, its figures, its audit entry.

    All three or none, and once for a run.
    """
    row = connection.execute(query("stores.there")).fetchone()
    if not row or not row["there"]:
        return
    values = {"run": record.run, "name": record.name, "mode": record.mode, "user": _user()}
    with connection.transaction():
        if connection.execute(query("stores.job_status"), values).rowcount:
            connection.execute(query("stores.metrics"), values)
            connection.execute(query("stores.audit"), values)


def _user() -> str | None:
    """Who runs this, where the system knows a name: in a container it may not."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def listed(
    connection: progress.Connection, name: str | None = None, mode: str | None = None, limit: int = 30
) -> list[dict[str, Any]]:
    """The newest runs, the newest first. None where neither a run nor a sync was ever there."""
    values = {"name": name, "mode": mode, "limit": limit}
    if not progress.ledger_exists(connection):
        # Every run so far failed before its target wrote anything.
        return connection.execute(query("history.list_runs"), values).fetchall() if _there(connection) else []
    if not _there(connection):
        with connection.transaction():
            connection.execute("SET TRANSACTION READ WRITE")
            ensure(connection)
    return connection.execute(query("history.list"), values).fetchall()


def rates(connection: progress.Connection, name: str, mode: str, *, except_run: str | None = None) -> list[Past]:
    """The newest finished runs of one table that needed no recovery."""
    if not _there(connection):
        return []
    values = {"name": name, "mode": mode, "limit": _COMPARED, "least_rows": LEAST_ROWS, "except_run": except_run}
    found = connection.execute(query("history.pace"), values)
    return [Past(row["rows_read"], float(row["rate"])) for row in found]


def recoveries(connection: progress.Connection) -> dict[tuple[str, str, str], int]:
    """How many recoveries there were, by (table, mode, reason)."""
    if not _there(connection):
        return {}
    found = connection.execute(query("history.recoveries"))
    return {(row["name"], row["mode"], row["reason"]): row["count"] for row in found}


def forget_schema(connection: progress.Connection, schema: str) -> None:
    """Forget what ran into a schema that is no more: it is no measure for other runs of a table of that name."""
    if _there(connection):
        connection.execute(query("history.forget_schema"), {"schema": schema})


def _there(connection: progress.Connection, what: str = "history.exists") -> bool:
    row = connection.execute(query(what)).fetchone()
    return bool(row and row["there"])
