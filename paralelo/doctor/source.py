"""The source: reachable, encrypted, readable, in an isolation that holds, with indexes where pages are sought."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from sync_rules.exits import ConfigurationError, SyncError
from tap_mssql import hidden, survey, variants
from tap_mssql.client import Connection
from tap_mssql.discovery import TableName
from tap_mssql.sql_types import quote
from tap_mssql.table import choose

from paralelo import other_sources, project, source
from paralelo.doctor.finding import Check, Finding, gathered, ok, problem, skipped, warning
from paralelo.plugin_settings import settings_of
from paralelo.project import Table, selected
from paralelo.propose import Looked

CLOCK_SECONDS = 60.0
LEAST_VERSION = 11
"""SQL Server 2012: the oldest that has all the tap asks for. Azure's servers count otherwise: Synapse is 10.0."""
_NEARBY = ("localhost", "127.0.0.1", "::1")


def checks(tables: Sequence[Table], env: Mapping[str, str]) -> Iterator[Finding]:
    """Everything about SQL Server, over one connection for each place that tables come from."""
    mine = [table for table in tables if table.plugin == "tap-mssql"]
    looks = [("source", lambda group=group: _server(*group, env=env)) for group in source.by_source(mine, env)]
    yield from gathered(looks)


def _server(tables: Sequence[Table], given: Mapping[str, Any] | None, *, env: Mapping[str, str]) -> Iterator[Finding]:
    """One server, and the tables that are read from it."""
    wanted = source.config(env, given=given)
    began = datetime.now(timezone.utc)
    with source.opened(env, given) as connection:
        took = (datetime.now(timezone.utc) - began).total_seconds()
        where = wanted.get("dsn") or f"{wanted['host']}:{wanted['port']}"
        yield ok("source", f"SQL Server at {where} answers, {1000 * took:.0f} ms to connect")
        looks: list[Check] = [
            ("source version", lambda: _version(connection)),
            ("source TLS", lambda: _tls(connection, wanted)),
            ("source clock", lambda: clock("source clock", survey.clock(connection), datetime.now(timezone.utc))),
            ("isolation", lambda: _isolation(connection, str(wanted["isolation"]))),
        ]
        looks += [(f"table {table.name}", lambda table=table: _table(connection, table)) for table in tables]  # type: ignore[misc]
        yield from gathered(looks)


def other(tables: Sequence[Table], env: Mapping[str, str]) -> Iterator[Finding]:
    """Oracle WMS and SQLite: their tables are described as a sync would, each from its own file or server."""
    for plugin in ("oracle-wms", "sqlite"):
        mine = [table for table in tables if table.plugin == f"tap-{plugin}"]
        groups = [[table for table in mine if not table.placed], *([table] for table in mine if table.placed)]
        looks = [
            (plugin, lambda plugin=plugin, group=group: _described(plugin, group, env)) for group in groups if group
        ]
        yield from gathered(looks)


def _described(plugin: str, tables: Sequence[Table], env: Mapping[str, str]) -> Iterator[Finding]:
    [first, *_] = tables
    own = settings_of(next(iter(first.extractors.values())), project.root(), env) if first.placed else None
    found = other_sources.proposals(plugin, [table.source for table in tables], "*", own=own)
    yield ok(plugin, f"{', '.join(one.source for one in found)}: described")


def clock(check: str, theirs: datetime, ours: datetime) -> Iterator[Finding]:
    """How far a server's clock is from this machine's."""
    apart = (theirs - ours).total_seconds()
    said = f"{apart:+.1f} s from this machine's"
    if abs(apart) > CLOCK_SECONDS:
        yield warning(check, said, "set both by NTP; bookmarks use the source's clock alone, lag and logs do not")
    else:
        yield ok(check, said)


def _version(connection: Connection) -> Iterator[Finding]:
    version, edition = survey.version(connection)
    major = version.partition(".")[0]
    if not version:
        yield skipped("source version", "the server does not say")
    elif "Azure" not in edition and major.isdigit() and int(major) < LEAST_VERSION:
        yield problem("source version", f"SQL Server {version}", "SQL Server 2012 (11.0) or newer is needed")
    else:
        yield ok("source version", f"SQL Server {version}, {edition}")


def _tls(connection: Connection, wanted: Mapping[str, Any]) -> Iterator[Finding]:
    seen = survey.encrypted(connection)
    nearby = str(wanted.get("host")) in _NEARBY
    if seen is False or (seen is None and wanted["encrypt"] == "no"):
        told = warning("source TLS", "rows and password travel in the clear", "TAP_MSSQL_ENCRYPT=yes, or strict")
        yield ok("source TLS", "none, on this machine") if nearby else told
    elif wanted["trust_server_certificate"] and not nearby:
        fix = "give the server a certificate of a known authority, then TAP_MSSQL_TRUST_SERVER_CERTIFICATE=false"
        yield warning("source TLS", "encrypted, but anybody could be the server: its certificate is not checked", fix)
    else:
        yield ok("source TLS", "encrypted" + ("" if wanted["trust_server_certificate"] else ", certificate checked"))


def _isolation(connection: Connection, wanted: str) -> Iterator[Finding]:
    state, versioned, collation = survey.database(connection)
    if state is None:
        yield skipped("isolation", "the server does not say what the database allows")
        return
    snapshot = state == 1
    allowed = "snapshot is allowed" if snapshot else "snapshot is not allowed"
    if wanted == "snapshot" and not snapshot:
        fix = "TAP_MSSQL_ISOLATION=auto, or ALTER DATABASE ... SET ALLOW_SNAPSHOT_ISOLATION ON"
        yield problem("isolation", "the setting says snapshot, and the database does not allow it", fix)
    elif wanted == "read_committed" and not versioned:
        fix = "TAP_MSSQL_ISOLATION=auto" if snapshot else "ask for READ_COMMITTED_SNAPSHOT ON, or sync in quiet hours"
        yield warning("isolation", f"read committed by shared locks: writers and the sync wait ({allowed})", fix)
    else:
        used = "snapshot" if wanted != "read_committed" and snapshot else "read committed"
        yield ok("isolation", f"{used}; {allowed}")
    yield ok("collation", f"the database's is {collation}")


def _table(connection: Connection, table: Table) -> Iterator[Finding]:
    """Rights, key, cursor, indexes and collation of one table."""
    check = f"table {table.name}"
    [looked] = source.look(connection, [TableName.parse(table.source)])
    description = looked.description
    for mode, extractor in table.extractors.items():
        own = {**source.own_config(extractor), "sync_mode": mode}
        chosen = choose(description, own, lambda column: selected(table.select, table.stream, column))
    taken = chosen.columns_of(description)
    columns = [column for column in description.columns if column.name in taken]
    try:
        survey.readable(connection, description.name, columns)
    except ConfigurationError:
        raise
    except SyncError as error:
        yield problem(check, str(error), f"GRANT SELECT ON {description.name.quoted} TO the login", error.exit)
        return
    hidden.refuse(connection, description.name, taken)
    variants.check(connection, description.name, columns)
    found = [
        *_indexes(check, table, looked, chosen.key, chosen.cursor),
        *_collations(check, looked, chosen.key),
        *_hidden(check, hidden.doubts(connection, description.name)),
    ]
    yield from found
    if not found:
        yield ok(check, f"readable; key {', '.join(chosen.key) or 'none'}, cursor {chosen.cursor or 'none'}")


def _indexes(check: str, table: Table, looked: Looked, key: Sequence[str], cursor: str | None) -> Iterator[Finding]:
    name = looked.description.name.quoted
    if not key:
        yield warning(check, "it has no key: read in one pass, not resumable", "give it a primary key at the source")
        return
    shown, quoted = ", ".join(key), ", ".join(map(quote, key))
    if key[0] not in looked.leading:
        fix = f"CREATE UNIQUE INDEX ... ON {name} ({quoted})"
        yield warning(check, f"no index begins with the key {key[0]}: each page scans the table", fix)
    elif not looked.description.is_unique(key):
        fix = f"CREATE UNIQUE INDEX ... ON {name} ({quoted})"
        yield warning(check, f"no unique index has the key {shown}: each sync checks it first", fix)
    if "incremental" in table.jobs and cursor and cursor not in looked.leading:
        fix = f"CREATE INDEX ... ON {name} ({', '.join(map(quote, dict.fromkeys((cursor, *key))))})"
        yield warning(check, f"no index begins with the cursor {cursor}: each incremental sync scans the table", fix)


def _hidden(check: str, doubts: Sequence[str]) -> Iterator[Finding]:
    for doubt in doubts:
        yield warning(check, doubt, "exempt this login from the policy, grant it UNMASK, or mend the view")


def _collations(check: str, looked: Looked, key: Sequence[str]) -> Iterator[Finding]:
    for name in key:
        column = looked.description.column(name)
        if column is not None and column.collation and not column.collation.upper().endswith(("_BIN", "_BIN2")):
            fix = "compare with python scripts/verify.py after the first sync; a number as key is safest"
            yield warning(check, f"the key {name} is text in {column.collation}: PostgreSQL tells more apart", fix)
