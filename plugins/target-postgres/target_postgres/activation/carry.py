"""Rows that incremental syncs wrote into the live table after a version began: they go into its staging table first,
so that from then on the staging table is what the live one is to be, by a swap and by a merge alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg import sql

from target_postgres.catalog import LiveTable
from target_postgres.connection import Connection
from target_postgres.job import Job
from target_postgres.ledger import Sync
from target_postgres.names import column, column_list, filled_up, pairs
from target_postgres.postgres_types import PostgresType
from target_postgres.queries import query

_FALLS = {"timestamp without time zone": sql.SQL(" - interval '1 hour'"), "date": sql.SQL(" - 1")}
"""By what clocks without a zone fall when daylight saving ends, maybe at midnight: stamps that come later are lower."""


def written_since(sync: Sync) -> sql.Composable:
    """Whether live row `t` was written after the version began, and an incremental sync has run since: others write to
    the table, too, and the source has the last word on that.

    Told by the row's transaction id, not by its cursor: a source's clock says when a row changed there, which may be
    long before the version began or, for a row deleted there, shortly before.
    """
    since = query("activation.written_since", begin=sql.Literal(sync.begin_xid))
    return sql.SQL("({} AND {})").format(since, query("activation.incremental_since", sync=sql.Literal(sync.id)))


def protected(job: Job, sync: Sync, types: Mapping[str, PostgresType]) -> sql.Composable:
    """Whether live row `t`, when it is not staged, is there for a reason and not stale: an incremental sync wrote it
    meanwhile, or the source sent it and it was rejected."""
    since = written_since(sync)
    if not any(entry.rejected for entry in sync.entries):
        return since
    same = sql.SQL("CAST(r.key_values ->> {} AS {}) OPERATOR(pg_catalog.=) {}")
    match = sql.SQL(" AND ").join(
        same.format(sql.Literal(name), types[name].sql, column(name, "t")) for name in job.key
    )
    return query("activation.protected", since=since, sync=sql.Literal(sync.id), match=match)


def newer_live(job: Job, sync: Sync, types: Mapping[str, PostgresType]) -> sql.Composable:
    """Whether live row `t` is to be kept against staged row `s`.

    Without a cursor each that was written meanwhile is: a later change at the source is the next incremental sync's,
    an earlier one that the staged row lacks would be nobody's.
    """
    since = written_since(sync)
    if job.cursor is None:
        return since
    fall = _FALLS.get(types[job.cursor].name, sql.SQL(""))
    return query("activation.newer_live", c=column(job.cursor), fall=fall, since=since)


def carry_changed(
    connection: Connection, job: Job, sync: Sync, live: LiveTable, types: Mapping[str, PostgresType]
) -> int:
    """Staged rows take the live row's values where that one is newer. Returns how many."""
    assert sync.staging is not None
    fixed = set(job.key) - set(live.loose(job.key))
    values = [name for name in job.column_names if name not in fixed and name in live.columns]
    if not values or (job.cursor is not None and job.cursor not in values):
        return 0
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(column(name), live_values([name], live, types, {})) for name in values
    )
    return connection.execute(
        query(
            "activation.carry_changed",
            staging=sync.staging.sql,
            live=job.live.sql,
            assignments=assignments,
            match=pairs(job.key, "t", "s"),
            newer=newer_live(job, sync, types),
        )
    ).rowcount


def carry_missing(
    connection: Connection, job: Job, sync: Sync, live: LiveTable, types: Mapping[str, PostgresType]
) -> int:
    """Live rows that are not staged and not stale are staged, too. Returns how many."""
    assert sync.staging is not None
    return connection.execute(
        query(
            "activation.carry_missing",
            staging=sync.staging.sql,
            live=job.live.sql,
            columns=column_list(job.column_names),
            live_columns=live_values(job.column_names, live, types, {}),
            match=pairs(job.key, "t", "s"),
            protected=protected(job, sync, types),
        )
    ).rowcount


def live_values(
    columns: Sequence[str], live: LiveTable, types: Mapping[str, PostgresType], replaced: Mapping[str, sql.Composable]
) -> sql.Composed:
    """`t`'s columns in the staging table's types; a column the live table lacks is NULL."""
    parts: list[sql.Composable] = []
    for name in columns:
        if name in replaced:
            parts.append(replaced[name])
        elif name not in live.columns:
            parts.append(sql.SQL("CAST(NULL AS {})").format(types[name].sql))
        elif (kind := live.columns[name].type) != types[name]:
            value = column(name, "t")
            if kind.name == "character":
                value = filled_up(value, kind.first or 1)
            parts.append(sql.SQL("CAST({} AS {})").format(value, types[name].sql))
        else:
            parts.append(column(name, "t"))
    return sql.SQL(", ").join(parts)


def stale_value(job: Job, kind: PostgresType) -> sql.Composable:
    """The value that flags a stale row, in its column's type."""
    return sql.SQL("CAST({}::text AS {})").format(sql.Literal(job.rules.stale_value), kind.sql)
