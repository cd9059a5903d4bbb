"""The ledger in the target database: which batches of which version are committed. State says where to go on; this
says what is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Json, Jsonb
from sync_rules.batch_info import BatchInfo, Key

from target_postgres.catalog import TableName
from target_postgres.connection import Connection, look_as_the_role_does
from target_postgres.encode import dump_json
from target_postgres.names import LEDGER_SCHEMA, staging_of
from target_postgres.queries import query

Verdict = Literal["load", "skip", "rewind", "gap"]


@dataclass(frozen=True)
class Entry:
    """A committed batch. `xact_id` is the id of the transaction that wrote its rows."""

    batch: int
    after: Key | None
    through: Key | None
    rows: int
    rejected: int
    xact_id: str


@dataclass(frozen=True)
class Counts:
    """What one batch, or all of a sync, brought. rows_read = rows_written + rows_rejected."""

    rows_read: int = 0
    rows_written: int = 0
    rows_rejected: int = 0
    nul_replaced: int = 0
    digits_truncated: int = 0

    def plus(self, other: Counts) -> Counts:
        """The sums."""
        return Counts(*(a + b for a, b in zip(asdict(self).values(), asdict(other).values(), strict=True)))


@dataclass(frozen=True)
class Outcome:
    """What became of the rows in the live table. `carried` rows were written by incremental syncs meanwhile."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    stale: int = 0
    carried: int = 0

    def plus(self, other: Outcome) -> Outcome:
        """The sums."""
        return Outcome(*(a + b for a, b in zip(asdict(self).values(), asdict(other).values(), strict=True)))


@dataclass
class Sync:
    """One sync of one table, as the ledger knows it. `begin_xid` is the transaction that began it; where it is still to
    come, the ledger is another server's (`foreign`)."""

    id: int
    live: TableName
    version: int | None
    staging: TableName | None
    begin_xid: str
    status: str
    prepared: bool = False
    foreign: bool = False
    entries: list[Entry] = field(default_factory=list)


def judge(entries: Sequence[Entry], info: BatchInfo) -> Verdict:
    """What to do with a batch, by the four rules of docs/protocol.md. `entries` are contiguous from 1."""
    last = entries[-1] if entries else None
    expected = last.batch + 1 if last else 1
    if info.batch == expected and same_key(info.after, last.through if last else None):
        return "load"
    if not 1 <= info.batch < expected:
        return "gap"
    there = entries[info.batch - 1]
    if same_key(there.after, info.after) and same_key(there.through, info.through) and there.rows == info.rows:
        return "skip"
    before = entries[info.batch - 2] if info.batch > 1 else None
    return "rewind" if same_key(info.after, before.through if before else None) else "gap"


def same_key(one: Key | None, other: Key | None) -> bool:
    """Whether two bookmarks are the same; a number may come as text."""
    if one is None or other is None:
        return one is other
    return [str(value) for value in one] == [str(value) for value in other]


def ensure(connection: Connection) -> None:
    """Create the ledger where it is missing."""
    if connection.execute(query("ledger.exists")).fetchone() == (True,):
        return
    with connection.transaction():
        connection.execute(query("ledger.serialise_creation"))
        look_as_the_role_does(connection)
        if connection.execute(query("catalog.schema_exists"), {"schema": LEDGER_SCHEMA}).fetchone() != (True,):
            connection.execute(query("ledger.create_schema"))
        for table in ("sync", "batch", "reject"):
            connection.execute(query(f"ledger.create_{table}"))
        connection.execute(query("ledger.index_sync"))


def find(connection: Connection, live: TableName, version: int) -> Sync | None:
    """The ledger's entry for this version, with its batches."""
    cursor = connection.cursor(row_factory=dict_row)
    row = cursor.execute(
        query("ledger.find_version"), {"schema": live.schema, "table": live.table, "version": version}
    ).fetchone()
    if row is None:
        return None
    return Sync(
        id=row["id"],
        live=live,
        version=version,
        staging=TableName(live.schema, row["staging_table"]),
        begin_xid=row["begin_xid"],
        status=row["status"],
        prepared=row["prepared"],
        foreign=row["foreign"],
        entries=batches(connection, row["id"]),
    )


def stream_of(connection: Connection, live: TableName) -> str | None:
    """The stream of our taps that was loaded into the live table last, None where there is no such table or stream."""
    parameters = {"schema": live.schema, "table": live.table, "name": live.sql.as_string(connection)}
    row = connection.execute(query("ledger.stream_of"), parameters).fetchone()
    return str(row[0]) if row else None


def batches(connection: Connection, sync_id: int) -> list[Entry]:
    """The committed batches of a sync, in order."""
    rows = connection.execute(query("ledger.batches"), {"sync": sync_id}).fetchall()
    return [Entry(batch, _key(after), _key(through), *rest) for batch, after, through, *rest in rows]


def _key(value: list[Any] | None) -> Key | None:
    return None if value is None else tuple(value)


def begin(
    connection: Connection,
    live: TableName,
    *,
    stream: str,
    mode: Literal["full", "incremental", "records"],
    version: int | None,
    started_at: str | None,
    key: Sequence[str],
    columns: dict[str, str],
    estimate: int | None,
) -> Sync:
    """A new entry. Call it in the transaction that creates the staging table."""
    staging = TableName(live.schema, staging_of(live.table, version)) if version is not None else None
    values = {
        "schema": live.schema,
        "table": live.table,
        "stream": stream,
        "mode": mode,
        "version": version,
        "staging": staging.table if staging else None,
        "started_at": started_at,
        "keys": list(key),
        "columns": Jsonb(columns, dumps=dump_json),
        "estimate": estimate,
        "status": "staging" if staging else "running",
    }
    row = connection.execute(query("ledger.begin"), values).fetchone()
    assert row is not None
    return Sync(row[0], live, version, staging, row[1], str(values["status"]))


def filled(connection: Connection, live: TableName, stream: str) -> bool:
    """Whether a full sync of this stream has filled the live table, and the last one did not leave it empty."""
    values = {"schema": live.schema, "table": live.table, "stream": stream}
    return connection.execute(query("ledger.filled"), values).fetchone() == (True,)


@dataclass(frozen=True)
class Held:
    """What this database has of the syncs that began at some moment or since: whether any, whether one later, the rows
    of those of that very moment, and whether a full one took effect."""

    any: bool
    later: bool
    rows: int
    activated: bool


def held_since(connection: Connection, live: TableName, stream: str, since: str) -> Held:
    """What there is of the stream's syncs that began at `since` (ISO 8601 with offset) or later."""
    values = {"schema": live.schema, "table": live.table, "stream": stream, "since": since}
    row = connection.execute(query("ledger.held_since"), values).fetchone()
    assert row is not None
    return Held(*row)


def abandon_unfinished(connection: Connection, live: TableName) -> int:
    """Mark every unfinished version abandoned: the caller holds the table's lock, so no living run needs its staging
    table. Returns how many."""
    values = {"schema": live.schema, "table": live.table}
    return connection.execute(query("ledger.abandon_unfinished"), values).rowcount


def left_over(connection: Connection, live: TableName) -> list[TableName]:
    """Staging tables that are there still though their versions have ended."""
    rows = connection.execute(query("ledger.left_over"), {"schema": live.schema, "table": live.table}).fetchall()
    return [TableName(live.schema, name) for (name,) in rows]


def add_batch(connection: Connection, sync: Sync, info: BatchInfo, counts: Counts) -> None:
    """Write a batch's entry. Call it in the transaction that writes the batch's rows."""
    row = connection.execute(
        query("ledger.add_batch"),
        {
            "sync": sync.id,
            "batch": info.batch,
            "after": None if info.after is None else Json(list(info.after)),
            "through": None if info.through is None else Json(list(info.through)),
            "rows": counts.rows_read,
            "written": counts.rows_written,
            "rejected": counts.rows_rejected,
            "nul_replaced": counts.nul_replaced,
            "digits_truncated": counts.digits_truncated,
        },
    ).fetchone()
    assert row is not None
    sync.entries.append(Entry(info.batch, info.after, info.through, counts.rows_read, counts.rows_rejected, row[0]))


def rewind(connection: Connection, sync: Sync, batch: int) -> int:
    """Remove the rows and the entries of this batch and all after it, in the caller's transaction.

    Returns how many rows of the staging table that left behind, or took too many: 0, unless something else changed it.
    """
    assert sync.staging is not None
    going = sync.entries[batch - 1 :]
    xacts = sql.Literal([entry.xact_id for entry in going])
    removed = connection.execute(query("ledger.remove_staged", staging=sync.staging.sql, xacts=xacts)).rowcount
    connection.execute(query("ledger.remove_rejects"), {"sync": sync.id, "batch": batch})
    connection.execute(query("ledger.remove_batches"), {"sync": sync.id, "batch": batch})
    del sync.entries[batch - 1 :]
    return abs(sum(entry.rows - entry.rejected for entry in going) - removed)


def totals(connection: Connection, sync: Sync) -> Counts:
    """The sums over the batches of a full sync."""
    row = connection.cursor(row_factory=dict_row).execute(query("ledger.totals"), {"sync": sync.id}).fetchone()
    assert row is not None
    return Counts(**row)


def update_counts(connection: Connection, sync: Sync, counts: Counts) -> None:
    """Make the sync's counts these."""
    connection.execute(query("ledger.update_counts"), {"sync": sync.id, **asdict(counts)})


def update_outcome(connection: Connection, sync: Sync, outcome: Outcome) -> None:
    """Make the sync's outcome this."""
    connection.execute(query("ledger.update_outcome"), {"sync": sync.id, **asdict(outcome)})


def outcome(connection: Connection, sync: Sync) -> Outcome:
    """The outcome written earlier."""
    row = connection.cursor(row_factory=dict_row).execute(query("ledger.outcome"), {"sync": sync.id}).fetchone()
    return Outcome(**{name: value or 0 for name, value in (row or {}).items()})


def end(connection: Connection, sync: Sync, status: str, activation: str | None, keep_days: int) -> None:
    """Mark the sync ended, and forget entries that ended long ago."""
    connection.execute(query("ledger.mark_ended"), {"sync": sync.id, "status": status, "activation": activation})
    connection.execute(
        query("ledger.forget_old"),
        {"schema": sync.live.schema, "table": sync.live.table, "days": keep_days, "keep": sync.id},
    )
    sync.status = status
