"""Watching Meltano jobs that are running: live progress until all have ended, then the ledger's final counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Any

import psycopg
from rich.console import Console
from sync_rules.exits import ConfigurationError, SyncError

from paralelo import deadline, usage
from paralelo import progress as ledger
from paralelo import snapshot as shots
from paralelo.jobs import RunningJob
from paralelo.live import show, terminal_console
from paralelo.progress import Covered, Progress
from paralelo.project import Mode, Table
from paralelo.snapshot import Line, Phase, Snapshot


@dataclass(frozen=True)
class Watched:
    """A table whose job is running, or has ended."""

    table: Table
    mode: Mode
    job: RunningJob


def watch(
    running: Sequence[Watched],
    env: Mapping[str, str] | None = None,
    *,
    console: Console | None = None,
    every: float | None = None,
) -> dict[str, Progress | None]:
    """Show the jobs' progress until all have ended, each `every` seconds.

    Returns, by the table's name, what the ledger says of this run's sync: None where it never began one. Whether a job
    ended well is its own `process.returncode`. A target that cannot be reached makes the view poorer and ends nothing.
    """
    ledger_view = LedgerView(env)
    meter = usage.Meter()
    since = {watched.table.name: watched.job.started for watched in running}

    def look() -> Snapshot:
        ledger_view.refresh(min(since.values(), default=datetime.now(timezone.utc)))
        lines = tuple(_line(ledger_view, watched) for watched in running)
        groups = [watched.job.process.pid for watched in running if not watched.job.done]
        return Snapshot(datetime.now(timezone.utc), lines, meter.measure(groups))

    try:
        show(look, lambda: all(watched.job.done for watched in running), console or terminal_console(), every=every)
        ledger_view.refresh(min(since.values(), default=datetime.now(timezone.utc)))
        return {
            watched.table.name: ledger_view.entry(watched.table, watched.mode, watched.job.started)
            for watched in running
        }
    finally:
        ledger_view.close()


def _line(view: LedgerView, watched: Watched) -> Line:
    job = watched.job
    if not job.done:
        return view.line(watched.table, watched.mode, job.started, alive=usage.roles(job.process.pid))
    ended: Phase = "done" if job.process.returncode == 0 else "failed"
    return view.line(watched.table, watched.mode, job.started, ended=ended)


@dataclass
class LedgerView:
    """The ledger, looked at again and again over one connection that is made anew when it breaks."""

    env: Mapping[str, str] | None = None
    window: timedelta = ledger.WINDOW
    patience: float = deadline.SECONDS
    _look: Future[tuple[list[Progress], dict[tuple[str, str], Covered]]] | None = None
    _connection: ledger.Connection | None = None
    _entries: Mapping[tuple[str, str, str], Progress] = field(default_factory=dict)
    _covered: Mapping[tuple[str, str], Covered] = field(default_factory=dict)
    _history: dict[int, list[Progress]] = field(default_factory=dict)
    _offset: timedelta = timedelta(0)
    trouble: str = ""

    @cached_property
    def schema(self) -> str:
        """Where the tables are: read once, since a look every second must cost nothing."""
        return ledger.default_schema(self.env)

    def refresh(self, since: datetime) -> None:
        """Look again. `since` is when the oldest run began, by this machine's clock. Trouble is noted, not raised.

        Returns within `patience` seconds. A look that is under way still is waited for, not joined by another. The
        first look raises ConfigurationError: nothing has begun yet that it could end.
        """
        first = self._look is None
        if self._look is None or self._look.done():
            self._look = deadline.begin(lambda: self._read(since))
        try:
            entries, self._covered = deadline.end(self._look, self.patience, self._late)
        except (psycopg.Error, SyncError) as error:
            if first and isinstance(error, ConfigurationError):
                raise
            self.trouble = str(error).splitlines()[0] if str(error) else type(error).__name__
            return
        self.trouble = ""
        self._entries = shots.by_table(entries)
        # Of the newest syncs alone: a monitor runs for months, and sees a new one every few minutes.
        self._history = {entry.sync_id: self._history.get(entry.sync_id, []) for entry in entries}
        for entry in entries:
            self._remember(entry)

    def _read(self, since: datetime) -> tuple[list[Progress], dict[tuple[str, str], Covered]]:
        """One look, in a thread of its own, which ends the connection when it breaks."""
        connection = self._connection
        try:
            if connection is None or connection.closed:
                self._connection = connection = ledger.connect(self.env)
            # At each look: the connection of a monitor outlives many a setting of the clock.
            self._offset = ledger.clock(connection) - datetime.now(timezone.utc)
            entries = ledger.newest(connection, since=since + self._offset, window=self.window)
            return entries, ledger.covered(connection)
        except psycopg.Error:
            if connection is not None:
                connection.close()
            raise

    def _late(self) -> SyncError:
        if self._connection is not None:
            ledger.abandon(self._connection)
        return ledger.unanswered(self.patience)

    def _remember(self, entry: Progress) -> None:
        kept = self._history[entry.sync_id]
        kept.append(entry)
        while len(kept) > 2 and entry.now and kept[1].now and entry.now - kept[1].now > self.window:
            kept.pop(0)

    def entry(self, table: Table, mode: Mode, since: datetime) -> Progress | None:
        """What the ledger says of this table's run that began at `since`, by this machine's clock."""
        return shots.of_this_run(self._find(table, mode), since + self._offset)

    def newest(self, table: Table, mode: Mode) -> Progress | None:
        """The table's newest sync, whichever run it belongs to."""
        return self._find(table, mode)

    def covered(self, table: Table) -> Covered | None:
        """Up to when the table is in the target."""
        return self._covered.get((self.schema, table.target))

    def line(
        self,
        table: Table,
        mode: Mode,
        since: datetime,
        *,
        alive: frozenset[str] = frozenset(),
        ended: Phase | None = None,
        attempt: int = 1,
        attempt_began: datetime | None = None,
        note: str = "",
    ) -> Line:
        """The table's line of the live view: `alive` names the living roles, `ended` says how it ended.

        A pause between two attempts is no time without a commit: that counts from `attempt_began`.
        """
        begun = since + self._offset
        found = self.entry(table, mode, since)
        covered = self.covered(table)
        known: dict[str, Any] = {"lag_seconds": covered.lag_seconds if covered else None, "attempt": attempt}
        shown = ended or shots.phase(found, alive, begun)
        if found is None or found.now is None:
            return Line(table.name, mode, shown, note=note or self.trouble, **known)
        rates = shots.pace(found, begun, self._history.get(found.sync_id, [found])[0], self.window.total_seconds())
        active = max(begun, attempt_began + self._offset) if attempt_began else begun
        last = max(found.last_commit or active, active)
        until = found.finished_at if found.whole and found.finished_at else found.now
        return Line(
            table.name,
            mode,
            shown,
            committed=found.committed,
            estimate=found.estimate,
            rate_now=None if ended else rates.now,
            rate_average=rates.average,
            idle_seconds=None if ended else max(0.0, (found.now - last).total_seconds()),
            seconds=max(0.0, (until - begun).total_seconds()),
            note=note or self.trouble,
            **known,
        )

    def _find(self, table: Table, mode: Mode) -> Progress | None:
        return self._entries.get((self.schema, table.target, mode))

    def close(self) -> None:
        """End the connection, unless a look still waits on it: that ends it itself."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._look is not None and not self._look.done():
            ledger.abandon(connection)
        else:
            connection.close()
