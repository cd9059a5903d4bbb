"""How far each table's sync has come, read from the target's ledger: what is committed, nothing else, counts."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from sync_rules.exits import ConfigurationError, SyncError, TargetUnreachable
from target_postgres.connection import refuse_shared
from target_postgres.errors import tell_connecting
from target_postgres.names import fold

from paralelo import deadline, project
from paralelo.queries import query

Connection = psycopg.Connection[dict[str, Any]]
T = TypeVar("T")
settings = project.settings
WINDOW = timedelta(seconds=15)
# What libpq says of settings before any server has.
_OF_SETTINGS = re.compile(
    r"invalid (sslmode|port|integer|connection option)|does not support SSL|certificate|private key"
)
_LOCAL = ("", "localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Progress:
    """The newest sync of one table and mode. Counts are rows; None where nobody knows.

    `committed` counts over all attempts. `rows_before` is the count one WINDOW ago, `rows_earlier` the one when the
    run asked about began. `now` is the target's clock, which all times but `started_at` (the source's) share.
    """

    table: str
    mode: str
    status: str
    committed: int
    estimate: int | None
    inserted: int | None = None
    updated: int | None = None
    unchanged: int | None = None
    stale: int | None = None
    rejected: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    schema: str = "public"
    sync_id: int = 0
    version: int | None = None
    written: int = 0
    batches: int = 0
    prepared: bool = False
    rows_before: int | None = None
    rows_earlier: int = 0
    last_commit: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    now: datetime | None = None

    @property
    def whole(self) -> bool:
        """Whether this sync has taken effect."""
        return self.status in ("activated", "finished")


@dataclass(frozen=True)
class Covered:
    """Up to which moment of the source's clock a table is in the target, and when a sync last ended well."""

    covered_until: datetime | None
    last_success: datetime | None
    now: datetime

    @property
    def lag_seconds(self) -> float | None:
        """How far the target's table is behind, at most."""
        return None if self.covered_until is None else max(0.0, (self.now - self.covered_until).total_seconds())


def connect(env: Mapping[str, str] | None = None, *, read_only: bool = True) -> Connection:
    """A connection to the target by the settings Meltano uses.

    Raises ConfigurationError where a setting is missing or refused, TargetUnreachable where the server cannot be had.
    """
    values = settings(env)
    missing = [name for name in ("TARGET_POSTGRES_USER", "TARGET_POSTGRES_DATABASE") if not values.get(name)]
    if missing:
        raise ConfigurationError(f"not set, and needed: {', '.join(missing)}; see .env.example, and `make sandbox-up`")
    host = values.get("TARGET_POSTGRES_HOST", "localhost")
    ssl = values.get("TARGET_POSTGRES_SSL_MODE", "auto")
    if ssl == "auto":
        ssl = "prefer" if host in _LOCAL or host.startswith("/") else "require"
    port = values.get("TARGET_POSTGRES_PORT", "5432")
    where = f"PostgreSQL at {host}:{port}, database {values['TARGET_POSTGRES_DATABASE']}"
    open_ = partial(
        psycopg.connect,
        host=host,
        port=port,
        user=values["TARGET_POSTGRES_USER"],
        password=values.get("TARGET_POSTGRES_PASSWORD"),
        dbname=values["TARGET_POSTGRES_DATABASE"],
        sslmode=ssl,
        sslrootcert=values.get("TARGET_POSTGRES_SSL_ROOT_CERT"),
        sslcert=values.get("TARGET_POSTGRES_SSL_CERT"),
        sslkey=values.get("TARGET_POSTGRES_SSL_KEY"),
        application_name="paralelo operations",
        client_encoding="UTF8",
        connect_timeout=10,
        # A host that vanished without a word is noticed within a minute and a half.
        keepalives_idle=30,
        keepalives_interval=10,
        keepalives_count=6,
        tcp_user_timeout=90_000,
        autocommit=True,
        row_factory=dict_row,
    )
    try:
        connection = open_()
        refuse_shared(connection, open_, where)
    except psycopg.Error as error:
        raise _told(error, where) from error
    connection.execute("SET statement_timeout = '20s'")
    # As psycopg reads times, whatever the role or the database is set to.
    connection.execute("SET datestyle = 'ISO, YMD'")
    connection.execute("SET intervalstyle = 'postgres'")
    if read_only:
        connection.execute("SET default_transaction_read_only = on")
    return connection


def _told(error: psycopg.Error, where: str) -> SyncError:
    """As the target itself tells it: who is refused by a server that answers has a setting to mend."""
    told = tell_connecting(error, where)
    return ConfigurationError(str(told)) if _OF_SETTINGS.search(str(error)) else told


def ask(work: Callable[[Connection], T], env: Mapping[str, str] | None = None, *, read_only: bool = True) -> T:
    """What `work` finds over a connection of its own. Raises as `connect` does, and TargetUnreachable when late."""
    seconds = deadline.SECONDS
    made: list[Connection] = []

    def do() -> T:
        with connect(env, read_only=read_only) as connection:
            made.append(connection)
            return work(connection)

    def late() -> TargetUnreachable:
        for connection in made:
            abandon(connection)
        return unanswered(seconds)

    return deadline.end(deadline.begin(do), seconds, late)


def unanswered(seconds: float) -> TargetUnreachable:
    """A server that takes connections and says nothing."""
    return TargetUnreachable(f"the target did not answer within {seconds:g} seconds")


def abandon(connection: Connection) -> None:
    """End a connection that another thread waits on: that thread sees it closed by the other side, and frees it."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as ours:
        ours.shutdown(socket.SHUT_RDWR)


def default_schema(env: Mapping[str, str] | None = None) -> str:
    """The schema that tables are written to, as the target spells it."""
    return fold(settings(env).get("TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA") or "public")


def clock(connection: Connection) -> datetime:
    """The target's clock."""
    row = connection.execute(query("progress.clock")).fetchone()
    assert row is not None
    moment: datetime = row["now"]
    return moment


def ledger_exists(connection: Connection) -> bool:
    """Whether any sync has ever written to this database."""
    row = connection.execute(query("progress.ledger_exists")).fetchone()
    return bool(row and row["there"])


def newest(
    connection: Connection,
    modes: Sequence[str] = ("full", "incremental"),
    *,
    since: datetime | None = None,
    window: timedelta = WINDOW,
) -> list[Progress]:
    """The newest sync of each table and mode; none where there is no ledger yet.

    `since` is when the run asked about began, by the target's clock.
    """
    if not ledger_exists(connection):
        return []
    values = {"modes": list(modes), "since": since, "window": window}
    return [_progress(row) for row in connection.execute(_by_table("newest"), values)]


def covered(connection: Connection) -> dict[tuple[str, str], Covered]:
    """By (schema, table): up to when each is in the target."""
    if not ledger_exists(connection):
        return {}
    return {
        (row["table_schema"], row["table_name"]): Covered(row["covered_until"], row["last_success"], row["now"])
        for row in connection.execute(_by_table("covered_until"))
    }


def _by_table(name: str) -> sql.Composed:
    return query(f"progress.{name}").format(tables=query("progress.tables"))


def _progress(row: Mapping[str, Any]) -> Progress:
    return Progress(
        table=row["table_name"],
        mode=row["mode"],
        status=row["status"],
        committed=row["committed"] or 0,
        # An incremental sync's is the whole table's count, which its rows are no share of.
        estimate=row["estimate"] if row["mode"] == "full" else None,
        inserted=row["inserted"],
        updated=row["updated"],
        unchanged=row["unchanged"],
        stale=row["stale"],
        rejected=row["rejected"],
        started_at=row["started_at"],
        finished_at=row["ended_at"],
        schema=row["table_schema"],
        sync_id=row["id"],
        version=row["version"],
        written=row["written"] or 0,
        batches=row["batches"] or 0,
        prepared=row["prepared"],
        rows_before=row["rows_before"],
        rows_earlier=row["rows_earlier"] or 0,
        last_commit=row["last_commit"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        now=row["now"],
    )
