"""A full sync's last step: the checks, then whichever way it takes effect."""

from __future__ import annotations

import logging
from collections.abc import Callable

import psycopg
from sync_rules.exits import ConfigurationError, TableInUse

from target_postgres import catalog, ledger
from target_postgres.activation import checks, dependents, proof
from target_postgres.activation.merge import merge
from target_postgres.activation.prepare import prepare
from target_postgres.activation.statistics import gathered_beside
from target_postgres.activation.swap import Unswappable, swap, wait_for_snapshots
from target_postgres.connection import Connection
from target_postgres.errors import tell
from target_postgres.full import FullLoad
from target_postgres.ledger import Outcome
from target_postgres.shape import changes

logger = logging.getLogger("target-postgres")
TRIES = 3


def activate(connection: Connection, load: FullLoad, rows: int | None, still_locked: Callable[[], None]) -> Outcome:
    """Make the staged version the live table. `rows` is how many the tap sent, when it says.

    Returns what became of the live table's rows. Raises CheckRefused when rows would be lost, TableInUse when the
    table stays locked by others; the staged rows are kept in both cases.
    """
    job, sync = load.job, load.sync
    if sync.status == "activated":
        logger.info("%s: version %s is activated already", job.live, job.version)
        return ledger.outcome(connection, sync)
    still_locked()
    assert sync.staging is not None
    known = False
    if sync.prepared:
        staged = load.counts.rows_written
    else:
        load.check_unsent(sync)
        if rows is not None:
            load.drop_beyond(rows)
        with gathered_beside(job, sync.staging, load.counts.rows_written) as statistics:
            staged = checks.check_complete(connection, job, sync.staging, load.counts, rows)
        known = statistics.done
        live = catalog.describe(connection, job.live)
        if live is not None:
            checks.check_shrink(connection, job, sync.staging, staged, live.columns)
        checks.check_key_filled(connection, job, sync.staging)
        if job.rules.verify != "off":
            # Ranges of keys are compared: the index that proves the key also finds them.
            assert sync.version is not None
            checks.check_key_unique(connection, job, sync.staging, sync.version)
            proof.check_equal(job, sync.staging)
            still_locked()
    for _ in range(TRIES):
        try:
            return _take_effect(connection, load, staged, known=known)
        except Unswappable:
            logger.info("%s: the live table changed while the swap was prepared: prepared anew", job.live)
    raise TableInUse(f"{job.live}: the live table keeps changing while it is to be swapped; run again")


def _take_effect(connection: Connection, load: FullLoad, staged: int, *, known: bool) -> Outcome:
    job, sync = load.job, load.sync
    live = catalog.describe(connection, job.live)
    plan = changes(live.columns if live else {}, job.columns, str(job.live))
    way, against = dependents.choose(connection, job, live, plan)
    if way == "merge":
        if against and job.rules.activation == "auto":
            logger.info("%s: merged, not swapped: %s", job.live, ", ".join(against[: dependents.SHOWN]))
        return _merge(connection, load, staged)
    may_merge = job.rules.activation == "auto" and live is not None and not dependents.unmatched(job, live)
    changed = dependents.unlike(connection, job, live, sync.staging, plan) if live is not None and sync.staging else []
    if changed:
        told = ", ".join(changed[: dependents.SHOWN])
        if may_merge:
            logger.info("%s: merged, not swapped: changed since the sync began: %s", job.live, told)
            return _merge(connection, load, staged)
        raise load.gap(f"the live table changed since it began, and a swap would lose that: {told}")
    try:
        ready = prepare(connection, job, sync, live, load.types, staged, known=known)
        if live is not None:
            wait_for_snapshots(connection, job, ready.xact)
        swap(connection, job, sync, ready.indexes, ready.signature)
    except (TableInUse, psycopg.Error) as error:
        why = tell(error, str(job.live)) if isinstance(error, psycopg.Error) else error
        if not may_merge or not isinstance(why, TableInUse | ConfigurationError):
            raise
        # A reader that is never done, or a right that the role lacks, keeps every swap off, and no merge.
        logger.info("%s; merged, not swapped", str(why).partition(";")[0])
        return _merge(connection, load, staged)
    return ready.outcome


def _merge(connection: Connection, load: FullLoad, staged: int) -> Outcome:
    job, sync = load.job, load.sync
    assert sync.staging is not None
    assert sync.version is not None
    checks.check_key_unique(connection, job, sync.staging, sync.version)
    return merge(connection, job, sync, load.types, staged)
