"""What a swap needs done beforehand, while nobody waits: carried rows, kept stale rows, counts, indexes, statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import psycopg
from psycopg import sql
from sync_rules.exits import CheckRefused

from target_postgres import ledger
from target_postgres.activation import checks, dependents
from target_postgres.activation.carry import carry_changed, carry_missing, live_values, stale_value
from target_postgres.activation.indexes import BuiltIndex, build, definitions
from target_postgres.activation.locking import with_short_locks
from target_postgres.activation.swap import signature_of
from target_postgres.catalog import LiveTable, TableName
from target_postgres.connection import Connection, look_as_the_role_does
from target_postgres.errors import reason
from target_postgres.job import Job
from target_postgres.ledger import Outcome, Sync
from target_postgres.names import column, column_list, index_of, pairs
from target_postgres.postgres_types import PostgresType
from target_postgres.queries import query

RANGES = 8
"""Into as many parts the keys are divided to be compared: a server's processes take one after another."""


@dataclass(frozen=True)
class Prepared:
    """A staging table ready to be swapped in. `xact` is the transaction that made it so."""

    outcome: Outcome
    indexes: list[BuiltIndex]
    signature: str | None
    xact: str


def prepare(
    connection: Connection,
    job: Job,
    sync: Sync,
    live: LiveTable | None,
    types: Mapping[str, PostgresType],
    staged: int,
    *,
    known: bool,
) -> Prepared:
    """Bring the staging table to what the live table is to be. One transaction, and safe to run again.

    `known` says that the staged rows have statistics already; rows of the live table may come to them here.

    It is committed before the swap, so that the swap is short, and so that every transaction which begins after it
    sees the whole of the new table.
    """
    assert sync.staging is not None
    assert sync.version is not None
    staging = sync.staging
    if live is not None and not sync.prepared:
        # The comparison with the live table goes along both keys' indexes; the first is then one of the table's own.
        checks.check_key_unique(connection, job, staging, sync.version)
    version = sync.version

    def work() -> Prepared:
        # At once, not where it is needed first: a reader of it would be waited for with half the work done.
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(staging.sql))
        connection.execute(query("activation.room_to_work"))
        # What is built is what is signed for: an index that comes meanwhile makes the swap be prepared anew.
        wanted = definitions(connection, live.oid) if live else []
        signature = signature_of(live, wanted) if live else None
        # From here on the live table's checks and its indexes' functions run.
        look_as_the_role_does(connection)
        outcome, written = _rows(connection, job, sync, live, types, staged, known=known)
        # Not before: written into the log, all its rows have one new transaction id.
        _log_staging(connection, staging, live)
        indexes = build(connection, staging, live, wanted, job.live, job.key, version)
        if not known or written:
            connection.execute(sql.SQL("ANALYZE {}").format(staging.sql))
        ledger.update_outcome(connection, sync, outcome)
        connection.execute(query("ledger.mark_prepared"), {"sync": sync.id})
        row = connection.execute(query("activation.transaction")).fetchone()
        assert row is not None
        return Prepared(outcome, indexes, signature, row[0])

    try:
        ready = with_short_locks(connection, job.settings, str(staging), work)
    except psycopg.errors.IntegrityError as error:
        checks.check_key_unique(connection, job, staging, sync.version)
        why = reason(error)
        for number, index in enumerate(definitions(connection, live.oid) if live else []):
            built_as = index_of(job.live.table, sync.version, number)
            why = why.replace(f"(constraint {built_as})", f"(constraint {index.name})")
        raise CheckRefused(
            f"{job.live}: the staged rows break a rule of the live table: {why}; the live table is untouched"
        ) from error
    sync.prepared = True
    return ready


def _log_staging(connection: Connection, staging: TableName, live: LiveTable | None) -> None:
    name = sql.Literal(staging.sql.as_string(connection))
    unlogged = connection.execute(query("activation.unlogged", table=name)).fetchone() == (True,)
    if unlogged and not (live is not None and live.persistence == "u"):
        connection.execute(sql.SQL("ALTER TABLE {} SET LOGGED").format(staging.sql))


def _rows(
    connection: Connection,
    job: Job,
    sync: Sync,
    live: LiveTable | None,
    types: Mapping[str, PostgresType],
    staged: int,
    *,
    known: bool,
) -> tuple[Outcome, int]:
    """Carried and kept rows into the staging table. Returns what the swap does to the live table's rows, and how many
    rows of the staging table were written here."""
    if live is None or dependents.unmatched(job, live):
        return Outcome(inserted=staged), 0
    assert sync.staging is not None
    if not known:
        connection.execute(sql.SQL("ANALYZE {} ({})").format(sync.staging.sql, column_list(job.key)))
    written = carry_changed(connection, job, sync, live, types)
    outcome = (
        ledger.outcome(connection, sync) if sync.prepared else _compare(connection, job, sync, live, types, staged)
    )
    carried = carry_missing(connection, job, sync, live, types)
    written += carried
    if job.rules.stale_rows in ("keep", "flag"):
        flag = job.rules.stale_column if job.rules.stale_rows == "flag" else None
        replaced = {flag: stale_value(job, types[flag])} if flag else {}
        statement = query(
            "activation.keep_stale",
            staging=sync.staging.sql,
            live=job.live.sql,
            columns=column_list(job.column_names),
            live_columns=live_values(job.column_names, live, types, replaced),
            match=pairs(job.key, "t", "s"),
        )
        written += connection.execute(statement).rowcount
    if sync.prepared:
        return outcome, written
    return Outcome(outcome.inserted, outcome.updated, outcome.unchanged, outcome.stale - carried, carried), written


def _compare(
    connection: Connection,
    job: Job,
    sync: Sync,
    live: LiveTable,
    types: Mapping[str, PostgresType],
    staged: int,
) -> Outcome:
    """Range by range of the key's first column, so that several processes of the server take part."""
    assert sync.staging is not None
    first = job.key[0]
    bounds = [sql.SQL("CAST({} AS {})").format(bound, types[first].sql) for bound in _bounds(connection, job, sync)]
    ranges = [
        query(
            "activation.compare_range",
            staging=sync.staging.sql,
            live=job.live.sql,
            staging_key=column_list(job.key, "s"),
            live_key=column_list(job.key, "t"),
            staging_values=column_list(job.column_names, "s"),
            live_values=live_values(job.column_names, live, types, {}),
            match=pairs(job.key, "t", "s"),
            staging_range=_between(column(first, "s"), lowest, beyond),
            live_range=_between(column(first, "t"), lowest, beyond, nulls=not live.columns[first].not_null),
        )
        for lowest, beyond in pairwise([None, *bounds, None])
    ]
    row = connection.execute(query("activation.compare", ranges=sql.SQL(" UNION ALL ").join(ranges))).fetchone()
    assert row is not None
    inserted, updated, missing = row
    return Outcome(inserted, updated, staged - inserted - updated, missing)


def _bounds(connection: Connection, job: Job, sync: Sync) -> list[str]:
    """Where the staged keys' first column is to be divided, ascending; none where few values share all rows."""
    assert sync.staging is not None
    table = {"schema": sync.staging.schema, "table": sync.staging.table, "column": job.key[0]}
    row = connection.execute(query("activation.histogram"), table).fetchone()
    histogram = row[0] if row and row[0] else []
    picked = (histogram[len(histogram) * number // RANGES] for number in range(1, RANGES) if histogram)
    return list(dict.fromkeys(picked))


def _between(
    value: sql.Composable, lowest: sql.Composable | None, beyond: sql.Composable | None, *, nulls: bool = False
) -> sql.Composable:
    """A condition: `lowest` and above, below `beyond`; None is no bound. The last range has the NULLs, if there are."""
    conditions: list[sql.Composable] = []
    if lowest is not None:
        conditions.append(sql.SQL("{} >= {}").format(value, lowest))
    if beyond is not None:
        conditions.append(sql.SQL("{} < {}").format(value, beyond))
    if nulls and conditions and beyond is None:
        return sql.SQL("({} OR {} IS NULL)").format(*conditions, value)
    return sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("TRUE")
