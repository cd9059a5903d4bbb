"""A full sync's rows into its staging table, batch by batch, each committed with its ledger entry."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import accumulate

import psycopg
from sync_rules.batch_info import BatchInfo
from sync_rules.exits import ConfigurationError

from target_postgres import catalog, ddl, exact, ledger, leftovers, rejects
from target_postgres.activation import dependents, proof
from target_postgres.activation.locking import with_short_locks
from target_postgres.catalog import TableName
from target_postgres.connection import Connection, counts_bytes, look_as_the_role_does
from target_postgres.copying import copy_in
from target_postgres.encode import Frame
from target_postgres.errors import LedgerGap, is_about_data
from target_postgres.job import Job
from target_postgres.ledger import Counts, Sync
from target_postgres.names import staging_of
from target_postgres.postgres_types import PostgresType
from target_postgres.queries import query
from target_postgres.shape import Changes, changes, check_identities, final_types

logger = logging.getLogger("target-postgres")


class FullLoad:
    """One version of one table on its way into a staging table.

    `types` are the staging table's column types: at least as wide as the source's and as the live table's.
    """

    def __init__(self, connection: Connection, job: Job) -> None:
        self._connection = connection
        self.job = job
        self.sync, self.types = self._open()
        self.counts = ledger.totals(connection, self.sync)

    def _open(self) -> tuple[Sync, Mapping[str, PostgresType]]:
        job, connection = self.job, self._connection
        assert job.version is not None
        proof.check_possible(job)
        live = catalog.describe(connection, job.live)
        plan = changes(live.columns if live else {}, job.columns, str(job.live))
        if live is not None:
            check_identities(live.columns, job.columns, job.key, str(job.live))
            dependents.check_choice(connection, job, live, plan)
        types = final_types(live.columns if live else {}, job.columns, plan)
        sync = ledger.find(connection, job.live, job.version)
        if sync is not None and sync.status == "abandoned":
            raise self.gap("it was given up, for a newer one or because the live table was written anew")
        if sync is not None and sync.foreign and sync.status == "staging":
            raise self.gap("the ledger was restored from another server, whose transactions have other numbers")
        if sync is not None and not job.resumable and sync.status == "staging":
            raise ConfigurationError(f"{job.live}: a table without a key was sent under the same version twice")
        if sync is None:
            sync = self._begin(live, plan)
        elif sync.status == "staging":
            self._check_staging(sync, types)
            if sync.entries:
                logger.info("%s: version %s goes on after batch %s", job.live, job.version, sync.entries[-1].batch)
        return sync, types

    def _begin(self, live: catalog.LiveTable | None, plan: Changes) -> Sync:
        """A new version: unfinished ones are given up, its staging table comes, in one transaction."""
        job, connection = self.job, self._connection
        unlogged = (
            job.settings.staging_unlogged
            or (live is not None and live.persistence == "u")
            or connection.execute(query("catalog.is_published"), {"schema": job.live.schema}).fetchone() == (True,)
        )
        # Of a ledger that was dropped in the middle the staging table is left, and nobody else works on this table.
        staging = TableName(job.live.schema, staging_of(job.live.table, job.version or 0))
        with_short_locks(connection, job.settings, str(staging), lambda: ddl.drop_table(connection, staging))
        with connection.transaction():
            ledger.abandon_unfinished(connection, job.live)
            sync = ledger.begin(
                connection,
                job.live,
                stream=job.stream,
                mode="full",
                version=job.version,
                started_at=job.started_at,
                key=job.key,
                columns={column.name: str(column.type) for column in job.columns},
                estimate=job.estimate,
            )
            assert sync.staging is not None
            if live is None:
                ddl.create_table(connection, sync.staging, job.columns, unlogged=unlogged, later=job.live)
            else:
                ddl.create_like(connection, sync.staging, job.live, unlogged=unlogged)
                ddl.apply(connection, sync.staging, plan)
                ddl.relax_gone(connection, sync.staging, live, plan)
                ddl.hide(connection, sync.staging)
        leftovers.remove(connection, job.settings, job.live)
        if plan and live is not None:
            logger.info("%s: the source's columns changed: %s", job.live, plan)
        return sync

    def _check_staging(self, sync: Sync, types: Mapping[str, PostgresType]) -> None:
        """What the ledger says must be there. An unlogged table comes back empty after a server crash."""
        assert sync.staging is not None
        staging = catalog.describe(self._connection, sync.staging)
        if staging is None:
            raise self.gap("its staging table is gone")
        if any(name not in staging.columns or staging.columns[name].type != kind for name, kind in types.items()):
            raise self.gap("the live table's columns changed since it began")
        self.check_unsent(sync)
        written = ledger.totals(self._connection, sync).rows_written
        row = self._connection.execute(query("staging.holds_rows", staging=sync.staging.sql)).fetchone()
        if written and row != (True,):
            raise self.gap("its staging table lost its rows")

    def check_unsent(self, sync: Sync) -> None:
        """Raise LedgerGap where a publication that came since the version began would send its staging table on, too:
        PostgreSQL may then refuse to change its rows. A new version's is not written to the log."""
        assert sync.staging is not None
        names = {"schema": sync.staging.schema, "table": sync.staging.table}
        if not sync.prepared and self._connection.execute(query("catalog.is_sent"), names).fetchone() == (True,):
            raise self.gap("a publication came that would send its staging table on")

    def gap(self, why: str) -> LedgerGap:
        """The error that makes the next run begin a new version."""
        return LedgerGap(
            f"{self.job.live}: version {self.job.version} cannot go on: {why}; the stream's bookmark is taken"
            " back to before the first page, so the next run begins a new version"
        )

    def take(self, info: BatchInfo, frame: Frame) -> None:
        """Load one batch, or skip it when it is a replay. Returns once it is committed.

        Raises LedgerGap when the batch does not follow from what is there, DataRefused when too many of its rows
        cannot be stored.
        """
        verdict = ledger.judge(self.sync.entries, info)
        if verdict == "skip":
            logger.info("%s: batch %s is committed already: skipped", self.job.live, info.batch)
            return
        if self.sync.status == "activated":
            raise self.gap("it is activated already")
        if verdict == "gap":
            raise self.gap(f"batch {info.batch} does not follow from the {len(self.sync.entries)} in the ledger")
        if self.sync.prepared:
            # The staging table has rows of the live one by now, and its indexes: what comes may be there already.
            raise self.gap("the source's rows changed after it was prepared for activation")
        if verdict == "rewind":
            logger.info("%s: batch %s differs from what was committed: written anew", self.job.live, info.batch)
        self._load(info, frame)

    def _load(self, info: BatchInfo, frame: Frame) -> None:
        cleaned = exact.clean(frame, self.job.rules, by_bytes=counts_bytes(self._connection))
        good, bad = rejects.take_out(cleaned.frame, cleaned.refused, self.job.key)
        room = self.job.rules.max_rejects - sum(entry.rejected for entry in self.sync.entries[: info.batch - 1])
        if bad:
            rejects.check_room(len(bad), room, str(self.job.live), bad[0].reason)
        try:
            self._commit(info, good, bad, frame.rows, cleaned.replaced)
        except psycopg.Error as error:
            if not is_about_data(error):
                raise
            good, more = rejects.isolate(
                self._connection,
                good,
                self._copy,
                self.job.key,
                room - len(bad),
                str(self.job.live),
            )
            self._commit(info, good, [*bad, *more], frame.rows, cleaned.replaced)

    def _commit(self, info: BatchInfo, good: Frame, bad: list[rejects.Reject], rows: int, nul_replaced: int) -> None:
        """One transaction and no savepoint: the rows' `xmin` is the transaction id that the ledger keeps."""
        counts = Counts(rows, good.rows, len(bad), nul_replaced, good.truncated)
        before = list(self.sync.entries)
        try:
            with self._connection.transaction():
                self._make_room(info)
                self._copy(good)
                ledger.add_batch(self._connection, self.sync, info, counts)
                rejects.keep(self._connection, self.sync.id, info.batch, self.job.live, bad)
                self.counts = ledger.totals(self._connection, self.sync)
                ledger.update_counts(self._connection, self.sync, self.counts)
        except BaseException:
            self.sync.entries[:] = before
            raise

    def _copy(self, rows: Frame) -> None:
        assert self.sync.staging is not None
        look_as_the_role_does(self._connection)
        copy_in(self._connection, self.sync.staging.sql, rows)

    def drop_beyond(self, rows: int) -> None:
        """Take out what was committed beyond the rows that the tap knows of.

        Their STATE was not saved, and when the tap looked again below the last one that was, the rows were gone at the
        source. Raises LedgerGap where no batch ends at that number of rows.
        """
        totals = [0, *accumulate(entry.rows for entry in self.sync.entries)]
        if totals[-1] <= rows:
            return
        if rows not in totals:
            raise self.gap(f"the tap sent {rows} rows, and no batch in the ledger ends there")
        first = totals.index(rows) + 1
        before = list(self.sync.entries)
        try:
            self._take_out(first)
        except BaseException:
            self.sync.entries[:] = before
            raise
        logger.info("%s: from batch %s on the rows are gone at the source: taken out again", self.job.live, first)

    def check_batches(self, batches: int) -> None:
        """Raise LedgerGap where the tap's bookmark knows of more: the database is an older copy, or a standby that took
        over without the last commits, and what is missing lies above the bookmark."""
        there = len(self.sync.entries)
        if self.sync.status == "staging" and there < batches:
            raise self.gap(f"of its {batches} batches the ledger has {there}")

    def _take_out(self, batch: int) -> None:
        with self._connection.transaction():
            if ledger.rewind(self._connection, self.sync, batch):
                raise self.gap("its staging table does not hold the rows that the ledger says")
            self.counts = ledger.totals(self._connection, self.sync)
            ledger.update_counts(self._connection, self.sync, self.counts)

    def _make_room(self, info: BatchInfo) -> None:
        """Take what the ledger has from this batch on out of the staging table."""
        if info.batch <= len(self.sync.entries) and ledger.rewind(self._connection, self.sync, info.batch):
            raise self.gap("its staging table does not hold the rows that the ledger says")

    def expected_batch(self, batch: int, rows: int, through: tuple[int | str, ...] | None) -> BatchInfo:
        """What a page of RECORD lines is, told by the STATE after it: its place follows from the ledger.

        A page whose number is committed already is written anew, for lines do not say where they began.
        """
        before = self.sync.entries[batch - 2].through if 2 <= batch <= len(self.sync.entries) + 1 else None
        return BatchInfo(self.job.stream, "full", batch, rows, self.job.version, before, through)
