"""Rows straight into the live table: incremental syncs of our taps, and RECORD or BATCH messages of any other tap."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

import psycopg
from sync_rules.bookmarks import taken_back
from sync_rules.exits import ConfigurationError

from target_postgres import catalog, ddl, exact, ledger, leftovers, rejects
from target_postgres.activation import dependents
from target_postgres.activation.locking import with_short_locks
from target_postgres.connection import Connection, counts_bytes, look_as_the_role_does
from target_postgres.copying import copy_in
from target_postgres.encode import Frame
from target_postgres.errors import LedgerGap, is_about_data
from target_postgres.job import Job
from target_postgres.ledger import Counts, Outcome, Sync
from target_postgres.postgres_types import PostgresType
from target_postgres.queries import query
from target_postgres.shape import Changes, Column, changes, check_identities, final_types
from target_postgres.upsert import Upsert

logger = logging.getLogger("target-postgres")


class DirectLoad:
    """Upserts by key into the live table, or appends where there is no key. Each batch is one transaction."""

    def __init__(self, connection: Connection, job: Job) -> None:
        if job.mode == "incremental" and not job.key:
            raise ConfigurationError(f"{job.live}: an incremental sync needs a key, and the stream has none")
        self._connection = connection
        self.job = job
        self._loose: tuple[str, ...] = ()
        self.types = self._open()
        self.sync: Sync = ledger.begin(
            connection,
            job.live,
            stream=job.stream,
            mode="incremental" if job.mode == "incremental" else "records",
            version=None,
            started_at=job.started_at,
            key=job.key,
            columns={column.name: str(column.type) for column in job.columns},
            estimate=job.estimate,
        )
        self._incoming, self._order = ddl.create_incoming(connection, job.live, job.columns)
        self._extra: list[Column] = []
        self.counts = Counts()
        self.outcome = Outcome()

    def _open(self) -> Mapping[str, PostgresType]:
        """Make sure that the live table is there, has the columns, and has a unique index on the key."""
        job, connection = self.job, self._connection
        live = catalog.describe(connection, job.live)
        self._check_filled(live)
        self._check_origin()
        if live is None:
            with connection.transaction():
                ddl.create_table(connection, job.live, job.columns, job.key)
            return {column.name: column.type for column in job.columns}
        check_identities(live.columns, job.columns, job.key, str(job.live))
        plan = changes(live.columns, job.columns, str(job.live))
        dependents.check_types(connection, job, live, plan, "merge")
        if plan or plan.gone:
            self._change(live, plan)
        if job.key and not live.has_key(job.key):
            self._index_key()
        self._loose = live.loose(job.key)
        return final_types(live.columns, job.columns, plan)

    def _check_filled(self, live: catalog.LiveTable | None) -> None:
        """Changes alone, in a table that somebody dropped, renamed or emptied, would pass for the whole of it."""
        job, connection = self.job, self._connection
        if job.mode != "incremental" or not ledger.filled(connection, job.live, job.stream):
            return
        if live is None:
            what = "is gone"
        elif connection.execute(query("staging.holds_rows", staging=job.live.sql)).fetchone() != (True,):
            what = "is empty"
        else:
            return
        raise ConfigurationError(
            f"{job.live} {what}, and a full sync had filled it: what changed since would pass for the whole table;"
            " bring its rows back, or run its full sync, and this one goes on from its bookmark"
        )

    def _check_origin(self) -> None:
        """What came between an older copy of the database and the tap's bookmark would never come."""
        job = self.job
        since = job.goes_on_from if job.mode == "incremental" else None
        if since is None:
            return
        here = ledger.held_since(self._connection, job.live, job.stream, since)
        if not here.any or (job.held.get("activated") and not here.activated):
            raise ConfigurationError(
                f"{job.live}: this sync goes on from one of {since}, which this database does not hold: it was restored"
                " from an older copy, or is another one; run its full sync, and this one goes on from its bookmark"
            )
        rows = int(job.held.get("rows") or 0)
        if here.rows < rows and not here.later:
            raise LedgerGap(
                f"{job.live}: of the {rows} rows of the sync of {since}, from which this one goes on, the database"
                f" holds {here.rows}: a server took over that lacked its last commits; the next run reads them again",
                partial(taken_back, began=since, low=job.held["low"]),
            )

    def _change(self, live: catalog.LiveTable, plan: Changes) -> None:
        settings, table = self.job.settings, self.job.live
        with_short_locks(self._connection, settings, str(table), lambda: self._apply(live, plan))
        leftovers.remove(self._connection, settings, table)

    def _apply(self, live: catalog.LiveTable, plan: Changes) -> None:
        before = self._storage()
        ddl.apply(self._connection, self.job.live, plan)
        ddl.relax_gone(self._connection, self.job.live, live, plan)
        if self._storage() != before:
            self._give_up_unfinished()
        if plan:
            logger.info("%s: the source's columns changed: %s", self.job.live, plan)
        if plan.added and self.job.mode == "incremental":
            added = ", ".join(column.name for column in plan.added)
            logger.warning("%s: rows copied before have NULL in %s until its full sync runs", self.job.live, added)

    def _storage(self) -> object:
        """Which files the live table is stored in: others when its rows were written anew."""
        name = self.job.live.sql.as_string(self._connection)
        return self._connection.execute(query("catalog.storage"), {"name": name}).fetchone()

    def _give_up_unfinished(self) -> None:
        """A full sync under way tells by their transactions which rows are newer than its own: now all would be."""
        if ledger.abandon_unfinished(self._connection, self.job.live):
            logger.warning(
                "%s: its rows were written anew for a changed type: the unfinished full sync begins again",
                self.job.live,
            )

    def _index_key(self) -> None:
        """Without a unique index on its key an upsert would read the whole table, and could write a key twice."""
        try:
            with_short_locks(
                self._connection,
                self.job.settings,
                str(self.job.live),
                lambda: ddl.create_unique_index(self._connection, self.job.live, self.job.key),
            )
        except psycopg.errors.UniqueViolation as error:
            raise ConfigurationError(
                f"{self.job.live}: its key ({', '.join(self.job.key)}) is not unique in the target: rows cannot be"
                " matched by it; remove the duplicates, or run a full sync"
            ) from error
        logger.info("%s: made a unique index on its key", self.job.live)

    def add_column(self, column: Column) -> None:
        """Make sure that the live table has this column, which is ours and not the source's."""
        live = catalog.describe(self._connection, self.job.live)
        assert live is not None
        if column.name not in live.columns:
            plan = Changes(added=(column,))
            self._change(live, plan)
        if column not in self._extra:
            self._extra.append(column)
            self._incoming, self._order = ddl.create_incoming(
                self._connection, self.job.live, [*self.job.columns, *self._extra]
            )

    def take(self, frame: Frame) -> None:
        """Load one batch. Returns once it is committed. Raises DataRefused when too many rows cannot be stored."""
        cleaned = exact.clean(frame, self.job.rules, by_bytes=counts_bytes(self._connection))
        refused = {**cleaned.refused, **rejects.without_key(frame, self.job.key)}
        if not self.job.ours:
            refused = {**exact.beyond_scale(cleaned.frame), **refused}
        good, bad = rejects.take_out(cleaned.frame, refused, self.job.key)
        room = self.job.rules.max_rejects - self.counts.rows_rejected
        if bad:
            rejects.check_room(len(bad), room, str(self.job.live), bad[0].reason)
        try:
            self._commit(good, bad, frame.rows, cleaned.replaced)
        except psycopg.Error as error:
            if not is_about_data(error):
                raise
            good, more = rejects.isolate(
                self._connection, good, self._attempt, self.job.key, room - len(bad), str(self.job.live)
            )
            self._commit(good, [*bad, *more], frame.rows, cleaned.replaced)

    def _attempt(self, part: Frame) -> None:
        self._write(part)
        self._connection.execute(query("rows.clear", incoming=self._incoming))
        # Deferred constraints speak at COMMIT, which an attempt never reaches. The next one finds them deferred again.
        with self._connection.transaction(force_rollback=True):
            self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def _commit(self, good: Frame, bad: list[rejects.Reject], rows: int, nul_replaced: int) -> None:
        with self._connection.transaction():
            done = self._write(good)
            counts = self.counts.plus(
                Counts(rows, done.inserted + done.updated, len(bad), nul_replaced, good.truncated)
            )
            outcome = self.outcome.plus(done)
            rejects.keep(self._connection, self.sync.id, None, self.job.live, bad)
            ledger.update_counts(self._connection, self.sync, counts)
            ledger.update_outcome(self._connection, self.sync, outcome)
        self.counts, self.outcome = counts, outcome

    def _write(self, frame: Frame) -> Outcome:
        """The rows into the temporary table and from there into the live one, in the caller's transaction."""
        look_as_the_role_does(self._connection)
        copy_in(self._connection, self._incoming, frame)
        upsert = Upsert(self.job.live.sql, self._incoming, self.job.key, frame.data.column_names, self._loose)
        if not self.job.key:
            return Outcome(inserted=upsert.insert_all(self._connection))
        upsert.drop_superseded(self._connection, self.job.cursor, self._order)
        updated = upsert.update_changed(self._connection)
        inserted = upsert.insert_missing(self._connection)
        upsert.tell_what_differs(self._connection, str(self.job.live))
        return Outcome(inserted=inserted, updated=updated, unchanged=frame.rows - inserted - updated)

    def finish(self) -> None:
        """Mark the run finished in the ledger."""
        ledger.end(self._connection, self.sync, "finished", None, self.job.settings.ledger_keep_days)
