"""Activation where something depends on the live table: changed rows are written into it, in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import psycopg
from psycopg import errors as pg
from psycopg import sql
from sync_rules.exits import CheckRefused

from target_postgres import catalog, ddl, ledger, leftovers
from target_postgres.activation import dependents
from target_postgres.activation.carry import carry_changed, carry_missing, stale_value
from target_postgres.activation.locking import with_short_locks
from target_postgres.catalog import LiveTable
from target_postgres.connection import Connection, look_as_the_role_does
from target_postgres.job import Job
from target_postgres.ledger import Outcome, Sync
from target_postgres.names import column, column_list, pairs
from target_postgres.postgres_types import PostgresType
from target_postgres.queries import query
from target_postgres.shape import changes
from target_postgres.upsert import Upsert

logger = logging.getLogger("target-postgres")


def merge(connection: Connection, job: Job, sync: Sync, types: Mapping[str, PostgresType], staged: int) -> Outcome:
    """Update rows that differ, insert those that are missing, treat stale ones. Readers go on reading meanwhile."""
    assert sync.staging is not None
    staging = sync.staging

    def work() -> Outcome:
        connection.execute(query("activation.room_to_work"))
        connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(job.live.sql))
        live = catalog.describe(connection, job.live)
        assert live is not None
        connection.execute(sql.SQL("ANALYZE {} ({})").format(staging.sql, column_list(job.key)))
        plan = changes(live.columns, job.columns, str(job.live))
        dependents.check_types(connection, job, live, plan, "merge")
        look_as_the_role_does(connection)
        # First, while the live rows still have the transaction ids they were written with: a changed type rewrites all.
        carry_changed(connection, job, sync, live, types)
        carried = carry_missing(connection, job, sync, live, types)
        ddl.apply(connection, job.live, plan)
        ddl.relax_gone(connection, job.live, live, plan)
        outcome = _write(connection, job, sync, types, staged, carried, live)
        ledger.update_outcome(connection, sync, outcome)
        ledger.end(connection, sync, "activated", "merge", job.settings.ledger_keep_days)
        return outcome

    outcome = with_short_locks(connection, job.settings, str(job.live), work)
    leftovers.remove(connection, job.settings, job.live)
    return outcome


def _write(
    connection: Connection,
    job: Job,
    sync: Sync,
    types: Mapping[str, PostgresType],
    staged: int,
    carried: int,
    live: LiveTable,
) -> Outcome:
    """Stale rows first: a key that moved to another row may be unique."""
    assert sync.staging is not None
    names = {"live": job.live.sql, "staging": sync.staging.sql, "match": pairs(job.key, "t", "s")}
    if job.rules.stale_rows == "delete":
        stale = _delete(connection, job, query("activation.delete_stale", **names))
    else:
        stale = _number(connection, query("activation.count_stale", **names))
    if job.rules.stale_rows == "flag":
        _flag(connection, job, types, names)
    if not live.has_key(job.key):
        stale += _delete(connection, job, query("activation.delete_repeated", keys=column_list(job.key), **names))
    upsert = Upsert(job.live.sql, sync.staging.sql, job.key, job.column_names, live.loose(job.key))
    if job.rules.stale_rows != "keep" and upsert.is_intervened_in(connection):
        _tell_untreated(connection, job, types, names)
    updated = upsert.update_changed(connection)
    inserted = upsert.insert_missing(connection)
    upsert.tell_what_differs(connection, str(job.live))
    _check_deferred(connection, job)
    if sync.prepared:
        return ledger.outcome(connection, sync)
    return Outcome(inserted, updated, staged - inserted - updated, stale, carried)


def _delete(connection: Connection, job: Job, statement: sql.Composed) -> int:
    """How many stale rows went. Raises CheckRefused where another table refers to one of them."""
    try:
        return connection.execute(statement).rowcount
    except (pg.ForeignKeyViolation, pg.RestrictViolation) as error:
        raise _referred_to(job, error) from error


def _check_deferred(connection: Connection, job: Job) -> None:
    """What deferred constraints would say at COMMIT. Raises CheckRefused as `_delete` does."""
    try:
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except pg.ForeignKeyViolation as error:
        if (error.diag.schema_name, error.diag.table_name) == (job.live.schema, job.live.table):
            raise
        raise _referred_to(job, error) from error


def _referred_to(job: Job, error: psycopg.Error) -> CheckRefused:
    told = error.diag
    return CheckRefused(
        f"{job.live}: rows that are gone from the source are referred to by {told.schema_name}.{told.table_name}"
        f" (constraint {told.constraint_name}): delete those first, let the constraint cascade, or set stale_rows"
        " to keep or flag"
    )


def _tell_untreated(
    connection: Connection, job: Job, types: Mapping[str, PostgresType], names: Mapping[str, sql.Composable]
) -> None:
    """Warn of stale rows that are as they were: nothing else says that a trigger or a rule kept them so."""
    statement = query("activation.count_stale", **names)
    if job.rules.stale_rows == "flag":
        flag, value = _flagged(connection, job, types)
        statement += sql.SQL(" AND {} IS DISTINCT FROM {}").format(column(flag, "t"), value)
    if left := _number(connection, statement):
        what = "deleted" if job.rules.stale_rows == "delete" else "flagged"
        why = "a trigger or a rule of the table kept them"
        logger.warning("%s: %s stale rows were not %s: %s", job.live, left, what, why)


def _flagged(connection: Connection, job: Job, types: Mapping[str, PostgresType]) -> tuple[str, sql.Composable]:
    """The column that flags stale rows, which the target alone may have, and the value that does."""
    flag = str(job.rules.stale_column)
    if flag not in job.column_names:
        live = catalog.describe(connection, job.live)
        assert live is not None
        types = {flag: live.columns[flag].type}
    return flag, stale_value(job, types[flag])


def _flag(
    connection: Connection, job: Job, types: Mapping[str, PostgresType], names: Mapping[str, sql.Composable]
) -> None:
    """Stale rows get the flag. Where the target alone has the column, rows that came back lose it again."""
    flag, value = _flagged(connection, job, types)
    connection.execute(query("activation.flag_stale", column=column(flag), value=value, **names))
    if flag not in job.column_names:
        connection.execute(query("activation.unflag", column=column(flag), value=value, **names))


def _number(connection: Connection, statement: sql.Composed) -> int:
    row = connection.execute(statement).fetchone()
    assert row is not None
    return int(row[0])
