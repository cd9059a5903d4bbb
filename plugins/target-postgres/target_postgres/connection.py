"""Connections to the target: how they are made, and what is set on each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg import sql
from psycopg.rows import TupleRow, tuple_row
from sync_rules.exits import ConfigurationError, TargetUnreachable

from target_postgres.errors import tell, tell_connecting
from target_postgres.names import MAX_BYTES
from target_postgres.settings import Settings

Connection = psycopg.Connection[TupleRow]

OLDEST_SERVER = 15
"""The first that tells which schemas are published; transaction ids that never come again are older (13)."""

MAX_TIMEOUT = 2**31 - 1
"""In milliseconds."""

_POOLERS: set[tuple[str, int]] = set()
"""Those in session mode, by address: asked once, for it takes a second connection."""

_NEARBY = ("localhost", "127.0.0.1", "::1", "")


def connect(settings: Settings, doing: str) -> Connection:
    """A connection in autocommit mode: each transaction is opened where it is meant to be.

    `doing` ends the application name, so that `pg_stat_activity` says what runs. Raises ConfigurationError for
    refused credentials, a missing database, an old server or a pooler that shares sessions, TargetUnreachable when
    nobody answers or a standby does.
    """
    where = f"PostgreSQL at {settings.host}:{settings.port}, database {settings.database}"
    try:
        connection = psycopg.connect(**_parameters(settings, doing), autocommit=True)
    except psycopg.Error as error:
        raise tell_connecting(error, where) from error
    try:
        refuse_shared(connection, lambda: psycopg.connect(**_parameters(settings, doing), autocommit=True), where)
    except psycopg.Error as error:
        raise tell(error, where) from error
    if connection.info.server_version < OLDEST_SERVER * 10_000:
        found = connection.info.server_version // 10_000
        connection.close()
        raise ConfigurationError(f"{where} is version {found}; the oldest that can be loaded into is {OLDEST_SERVER}")
    try:
        _prepare(connection, settings)
    except psycopg.Error as error:
        raise tell(error, where) from error
    if connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
        # While one server takes over from another, the address of the first may lead to a standby for a while.
        raise TargetUnreachable(f"{where} is a standby and takes no writes yet: name the primary, unless it takes over")
    return connection


def refuse_shared(
    connection: psycopg.Connection[Any], another: Callable[[], psycopg.Connection[Any]], where: str
) -> None:
    """Raise ConfigurationError where a pooler gives each transaction another session: settings and locks would go to
    other clients', and stay there. Call it before there are any; `another` opens a connection as this one was.

    A server tells a client the process it talks to, a pooler a number of its own. Behind one, two clients are asked at
    the same time which processes they talk to. Session by session these are two, and stay the same.
    """
    place = (connection.info.host, connection.info.port)
    if place in _POOLERS or _backend(connection) == connection.info.backend_pid:
        return
    with another() as other:
        # Some poolers give a client a session of its own from its first SET on. This one they all know, and keep apart.
        for each in (connection, other):
            each.execute(sql.SQL("SET application_name TO {}").format(each.info.parameter_status("application_name")))
        ours = _backend(connection)
        with other.transaction():
            shared = _backend(other) == ours or _backend(connection) != ours
    if shared:
        connection.close()
        raise ConfigurationError(
            f"{where} is behind a pooler in transaction mode: name the server itself, or a pooler in session mode"
        )
    _POOLERS.add(place)


def _backend(connection: psycopg.Connection[Any]) -> int:
    row = connection.cursor(row_factory=tuple_row).execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])


def counts_bytes(connection: Connection) -> bool:
    """Whether the database knows of no characters, so that lengths are in bytes."""
    return connection.info.parameter_status("server_encoding") == "SQL_ASCII"


def look_as_the_role_does(connection: Connection) -> None:
    """For the rest of the transaction names are looked for where the role looks: a trigger's or a check's may have none
    of a schema. Our own all have, and are looked for in `pg_catalog` only."""
    connection.execute("SET LOCAL search_path TO DEFAULT")


def _parameters(settings: Settings, doing: str) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "user": settings.user,
        "password": settings.password,
        "dbname": settings.database,
        "sslmode": _ssl_mode(settings),
        "sslrootcert": settings.ssl_root_cert,
        "sslcert": settings.ssl_cert,
        "sslkey": settings.ssl_key,
        "connect_timeout": settings.connect_timeout_seconds,
        "application_name": _application_name(settings.application_name, doing),
        # A host that vanished without a word is noticed within a minute and a half, on both sides.
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 6,
        "client_encoding": "UTF8",
    }
    return {name: value for name, value in parameters.items() if value is not None}


def _ssl_mode(settings: Settings) -> str:
    """`auto` asks for TLS wherever the connection leaves this machine; libpq's own default would do without."""
    if settings.ssl_mode != "auto":
        return settings.ssl_mode
    nearby = settings.host in _NEARBY or settings.host.startswith("/")
    return "prefer" if nearby else "require"


def _application_name(name: str, doing: str) -> str:
    return f"{name} {doing}".encode()[:MAX_BYTES].decode(errors="ignore")


def _prepare(connection: Connection, settings: Settings) -> None:
    """Settings that make results the same on every server, and a dead client's work end soon."""
    connection.execute(
        "SELECT set_config(name, value, false) FROM (VALUES"
        " ('search_path', 'pg_catalog'), ('timezone', 'UTC'), ('datestyle', 'ISO, YMD'), ('intervalstyle', 'postgres'),"
        " ('bytea_output', 'hex'), ('extra_float_digits', '3'), ('standard_conforming_strings', 'on'),"
        " ('statement_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),"
        " ('idle_session_timeout', '0'), ('transaction_timeout', '0'),"
        " ('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '6'),"
        " ('default_transaction_isolation', 'read committed'), ('row_security', 'on'),"
        " ('quote_all_identifiers', 'off')"
        ") AS wanted (name, value)"
        " WHERE name IN (SELECT lower(s.name) FROM pg_catalog.pg_settings AS s)"
    )
    # What others hold is waited for, a row as well as a table, but not for ever.
    patience = max(settings.activation_patience_seconds, settings.lock_timeout_seconds)
    connection.execute(
        "SELECT set_config('lock_timeout', %s, false)", [f"{min(max(1, round(patience * 1000)), MAX_TIMEOUT)}ms"]
    )
    # A commit that STATE follows has to outlive a crash; who waits for a standby, or for none, goes on doing so.
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
    # A server on a system that cannot tell (Windows) has the setting and refuses a value; one before 14 has none.
    with contextlib.suppress(pg.InvalidParameterValue, pg.UndefinedObject):
        connection.execute("SET client_connection_check_interval = '5s'")
