"""The checks before a full sync takes effect: an empty or half-read source must never wipe a table."""

from __future__ import annotations

from collections.abc import Collection

import psycopg
from psycopg import sql
from sync_rules.exits import CheckRefused

from target_postgres import catalog
from target_postgres.activation.carry import stale_value
from target_postgres.catalog import TableName
from target_postgres.connection import Connection, look_as_the_role_does
from target_postgres.job import Job
from target_postgres.ledger import Counts
from target_postgres.names import column, column_list, index_of
from target_postgres.queries import query

KEY_NUMBER = 999
"""The number of the index that proves the key; the live table's own are counted from 0."""


def check_complete(connection: Connection, job: Job, staging: TableName, counts: Counts, rows: int | None) -> int:
    """Every row that the tap sent is staged or rejected. Returns the number of staged rows."""
    staged = count(connection, staging)
    if rows is not None and counts.rows_read != rows:
        raise CheckRefused(
            f"{job.live}: the tap sent {rows} rows and the ledger has {counts.rows_read}; the live table is untouched"
        )
    if staged != counts.rows_written:
        raise CheckRefused(
            f"{job.live}: {staged} rows are staged and the ledger says {counts.rows_written};"
            " the live table is untouched"
        )
    return staged


def check_shrink(
    connection: Connection, job: Job, staging: TableName, staged: int, live_columns: Collection[str]
) -> None:
    """Not empty, and not smaller than the live table by more than may be. Rows flagged as stale do not count."""
    rules = job.rules
    if rules.shrink_allowed:
        return
    if rules.stale_rows == "flag" and rules.stale_column in live_columns:
        live = _count_unflagged(connection, job, job.live)
        staged = _count_unflagged(connection, job, staging) if live else staged
    else:
        live = count(connection, job.live)
    if live == 0:
        return
    advice = (
        "; the live table is untouched. If that is right, name the table in allow_shrink and run it again; if the"
        " source was not whole, run it with --full-refresh once it is"
    )
    if staged == 0:
        raise CheckRefused(f"{job.live}: the source sent no row and the live table has {live}{advice}")
    if rules.stale_rows != "keep" and (live - staged) * 100 > live * rules.max_shrink_percent:
        percent = 100 * (1 - staged / live)
        raise CheckRefused(
            f"{job.live}: it would shrink from {live} to {staged} rows, by {percent:.1f} %, and max_shrink_percent is"
            f" {rules.max_shrink_percent:g}{advice}"
        )


def check_key_filled(connection: Connection, job: Job, staging: TableName) -> None:
    """No row is without a key. Not looked for where the staging table itself would refuse such a row."""
    described = catalog.describe(connection, staging)
    assert described is not None
    open_parts = [part for part in job.key if not described.columns[part].not_null]
    if not open_parts:
        return
    nulls = sql.SQL(" OR ").join(sql.SQL("{} IS NULL").format(column(part)) for part in open_parts)
    if connection.execute(query("staging.null_key", staging=staging.sql, any_null=nulls)).fetchone() == (True,):
        name = ", ".join(job.key)
        raise CheckRefused(f"{job.live}: rows without a key ({name}) were sent; the live table is untouched")


def check_key_unique(connection: Connection, job: Job, staging: TableName, version: int) -> None:
    """No two rows have the same key, by building the index that could not hold them: a merge joins by it, too.

    SQL Server may keep apart what PostgreSQL holds to be one key; and a key setting that names the wrong columns shows
    here, before any row of the live table changes.
    """
    if not job.key:
        return
    name = sql.Identifier(key_index(job.live, version))
    statement = sql.SQL("CREATE UNIQUE INDEX IF NOT EXISTS {} ON {} ({})")
    try:
        with connection.transaction():
            connection.execute(query("activation.room_to_work"))
            look_as_the_role_does(connection)
            connection.execute(statement.format(name, staging.sql, column_list(job.key)))
    except psycopg.errors.UniqueViolation:
        key = ", ".join(job.key)
        raise CheckRefused(
            f"{job.live}: several rows have the same key ({key}); make the columns that tell rows apart the sync's"
            " key; the live table is untouched"
        ) from None


def key_index(live: TableName, version: int) -> str:
    """The name of the index by which a staging table's key is proved."""
    return index_of(live.table, version, KEY_NUMBER)


def _count_unflagged(connection: Connection, job: Job, table: TableName) -> int:
    """Rows without the flag, by the column's own type: its texts for one value may be several (0 and 0.00)."""
    described = catalog.describe(connection, table)
    assert described is not None
    flag = str(job.rules.stale_column)
    value = stale_value(job, described.columns[flag].type)
    return count(connection, table, sql.SQL("{} IS DISTINCT FROM {}").format(column(flag), value))


def count(connection: Connection, table: TableName, where: sql.Composable | None = None) -> int:
    """Rows of a table, those that a condition holds for when it is given."""
    statement: sql.Composed = query("staging.count", table=table.sql)
    if where is not None:
        statement += sql.SQL(" WHERE ") + where
    row = connection.execute(statement).fetchone()
    assert row is not None
    return int(row[0])
