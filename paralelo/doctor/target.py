"""The target: reachable, encrypted, writable, with room for connections and for the write-ahead log."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import Identifier
from target_postgres.connection import OLDEST_SERVER

from paralelo import progress
from paralelo.doctor.finding import Check, Finding, gathered, ok, problem, skipped, warning
from paralelo.doctor.source import clock
from paralelo.project import Table
from paralelo.queries import query
from paralelo.view import size

LEAST_WAL = 4_000_000_000
IDLE_SLOT_BYTES = 1_000_000_000
CONNECTIONS_A_TABLE = 3
AT_ONCE = 4


def checks(tables: Sequence[Table], env: Mapping[str, str]) -> Iterator[Finding]:
    """Everything about PostgreSQL, over one connection."""
    began = datetime.now(timezone.utc)
    with progress.connect(env) as connection:
        took = (datetime.now(timezone.utc) - began).total_seconds()
        server = _row(connection, "doctor.server")
        values = progress.settings(env)
        where = f"{values.get('TARGET_POSTGRES_HOST')}:{values.get('TARGET_POSTGRES_PORT', '5432')}"
        yield ok("target", f"PostgreSQL at {where} answers, {1000 * took:.0f} ms to connect")
        schema = progress.default_schema(env)
        looks: list[Check] = [
            ("target version", lambda: _server(server)),
            ("target TLS", lambda: _tls(server, values)),
            ("target clock", lambda: clock("target clock", server["now"], began)),
            ("target rights", lambda: _rights(connection, schema)),
            ("connections", lambda: _connections(connection, len(tables))),
            ("write-ahead log", lambda: _wal(connection)),
            ("target disk", lambda: _disk(connection, server)),
        ]
        looks += [(f"target {one.target}", lambda one=one: _table(connection, schema, one)) for one in tables]  # type: ignore[misc]
        yield from gathered(looks)


def _row(connection: progress.Connection, name: str, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    row = connection.execute(query(name), values or {}).fetchone()
    assert row is not None
    return row


def _server(server: Mapping[str, Any]) -> Iterator[Finding]:
    if server["standby"]:
        yield problem("target version", "it is a standby and takes no writes", "name the primary in .env")
    if server["read_only"]:
        fix = "ALTER ROLE, ALTER DATABASE or the server's configuration; a managed server may be out of disk"
        yield problem("target version", "it takes no writes: default_transaction_read_only is on", fix)
    if server["version"] < OLDEST_SERVER * 10_000:
        yield problem(
            "target version", f"PostgreSQL {server['shown']}", f"PostgreSQL {OLDEST_SERVER} or newer is needed"
        )
    elif server["encoding"] != "UTF8":
        yield problem("target version", f"the database's encoding is {server['encoding']}", "CREATE DATABASE in UTF8")
    else:
        yield ok("target version", f"PostgreSQL {server['shown']}")


def _tls(server: Mapping[str, Any], values: Mapping[str, str]) -> Iterator[Finding]:
    mode = values.get("TARGET_POSTGRES_SSL_MODE") or "auto"
    if not server["encrypted"]:
        told = warning("target TLS", "rows and password travel in the clear", "TARGET_POSTGRES_SSL_MODE=verify-full")
        yield ok("target TLS", "none, on this machine") if server["nearby"] else told
    elif mode not in ("verify-ca", "verify-full") and not server["nearby"]:
        fix = "TARGET_POSTGRES_SSL_MODE=verify-full, with TARGET_POSTGRES_SSL_ROOT_CERT"
        yield warning("target TLS", "encrypted, but the server's certificate is not checked", fix)
    else:
        yield ok("target TLS", "encrypted")


def _rights(connection: progress.Connection, schema: str) -> Iterator[Finding]:
    found = _row(connection, "doctor.rights", {"schema": schema})
    role, missing = found["role"], []
    to, inside = Identifier(role).as_string(), Identifier(schema).as_string()
    if not found["schema_there"] and not found["may_create_schemas"]:
        missing.append((f"the schema {schema} is not there", f"CREATE SCHEMA {inside} AUTHORIZATION {to}"))
    elif found["schema_there"] and not found["schema_usable"]:
        missing.append((f"{role} may not create in {schema}", f"GRANT USAGE, CREATE ON SCHEMA {inside} TO {to}"))
    if not found["ledger_there"] and not found["may_create_schemas"]:
        missing.append(("the ledger's schema is not there", f"CREATE SCHEMA paralelo AUTHORIZATION {to}"))
    elif found["ledger_there"] and not found["ledger_usable"]:
        missing.append((f"{role} may not create in paralelo", f"GRANT USAGE, CREATE ON SCHEMA paralelo TO {to}"))
    if not found["may_create_temporary"]:
        missing.append((f"{role} may not create temporary tables", f"GRANT TEMPORARY ON DATABASE ... TO {to}"))
    for said, fix in missing:
        yield problem("target rights", said, fix)
    yield from _publications(found)
    if not missing:
        yield ok("target rights", f"{role} may create in {schema} and keep the ledger")


def _publications(found: Mapping[str, Any]) -> Iterator[Finding]:
    """One of all tables has the ledger's, too, from the first sync on."""
    if found["all_published"] and not found["ledger_there"]:
        yield warning(
            "publications",
            "one is FOR ALL TABLES: subscribers stop at the first row of the ledger, which they do not have",
            "after the first sync has begun: pg_dump --schema-only -n paralelo, and run that at each of them",
        )


def _table(connection: progress.Connection, schema: str, table: Table) -> Iterator[Finding]:
    """What activation needs of a live table: to own it for a swap, to write it for a merge."""
    check, name = f"target {table.target}", f"{schema}.{table.target}"
    quoted = Identifier(schema, table.target).as_string()
    row = connection.execute(query("doctor.table_rights"), {"schema": schema, "table": table.target}).fetchone()
    if row is None:
        yield ok(check, "not there yet: the first full sync creates it")
    elif row["rows_hidden"]:
        yield problem(
            check, f"{name}: row security hides rows from this role", "grant it BYPASSRLS, or ownership without FORCE"
        )
    elif row["owned"]:
        yield ok(check, "owned: it can be swapped or merged")
    elif row["writable"]:
        fix = f"ALTER TABLE {quoted} OWNER TO this role, for a swap and for new columns"
        yield warning(check, f"{name} belongs to {row['owner']}: a full sync merges, and cannot add columns", fix)
    else:
        yield problem(
            check, f"{name} belongs to {row['owner']} and cannot be written", f"ALTER TABLE {quoted} OWNER TO ..."
        )


def _connections(connection: progress.Connection, tables: int) -> Iterator[Finding]:
    found = _row(connection, "doctor.connections")
    free = found["allowed"] - found["reserved"] - found["used"]
    if found["role_limit"] >= 0:
        free = min(free, found["role_limit"])
    needed = CONNECTIONS_A_TABLE * min(AT_ONCE, max(1, tables)) + 1
    said = f"{free} of {found['allowed']} free; {min(AT_ONCE, max(1, tables))} tables at once take up to {needed}"
    if free < needed:
        yield warning("connections", said, "raise max_connections, or run fewer tables at once: --jobs 1")
    else:
        yield ok("connections", said)


def _wal(connection: progress.Connection) -> Iterator[Finding]:
    found, well = _row(connection, "doctor.wal"), True
    if found["max_wal_size"] < LEAST_WAL:
        well = False
        said = f"max_wal_size is {size(found['max_wal_size'])}: a large copy checkpoints often"
        yield warning("write-ahead log", said, "ALTER SYSTEM SET max_wal_size = '8GB'; SELECT pg_reload_conf()")
    if found["held_by_idle_slots"] > IDLE_SLOT_BYTES:
        well = False
        said = f"idle replication slots ({found['idle_slots']}) hold {size(found['held_by_idle_slots'])} of it"
        yield warning("write-ahead log", said, "let their readers catch up, or SELECT pg_drop_replication_slot('...')")
    if found["archiver_fails"]:
        well = False
        yield warning("write-ahead log", "archiving fails, so nothing of it is removed", "mend archive_command")
    if well:
        yield ok("write-ahead log", f"level {found['level']}, max_wal_size {size(found['max_wal_size'])}")


def _disk(connection: progress.Connection, server: Mapping[str, Any]) -> Iterator[Finding]:
    """Room beside the database, where the server is this machine and says where its data are."""
    held = _row(connection, "doctor.wal")["database_size"]
    try:
        folder = _row_setting(connection, "data_directory") if server["nearby"] else None
    except psycopg.Error:
        folder = None
    if folder is None or not Path(folder).exists():
        yield skipped("target disk", f"the database holds {size(held)}; the room beside it cannot be seen from here")
        return
    free = shutil.disk_usage(folder).free
    if free < held:
        fix = "a full sync holds a table twice until it takes effect: see python scripts/plan.py"
        yield warning("target disk", f"{size(free)} free beside a database of {size(held)}", fix)
    else:
        yield ok("target disk", f"{size(free)} free beside a database of {size(held)}")


def _row_setting(connection: progress.Connection, name: str) -> str | None:
    row = connection.execute("SELECT current_setting(%s) AS value", [name]).fetchone()
    return None if row is None else row["value"]
