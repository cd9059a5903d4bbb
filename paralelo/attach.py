"""What runs on this machine now, whoever started it: for monitors that attach."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import psutil

from paralelo import runlock, status, usage
from paralelo.project import MODES, Mode, Table
from paralelo.snapshot import LIVE, Line, Phase, Snapshot
from paralelo.status import TableStatus
from paralelo.watch import LedgerView


@dataclass(frozen=True)
class Running:
    """A sync that runs, or that its supervisor will go on with: `groups` is empty in a pause.

    `began` is when the run began, over all its attempts; `attempt_began` when the processes that live did.
    """

    table: Table
    mode: Mode
    began: datetime
    groups: tuple[int, ...]
    told: TableStatus | None = None
    attempt_began: datetime | None = None


def find(
    tables: Iterable[Table], root: Path, logs: Path, run: str | None = None, census: usage.Census | None = None
) -> list[Running]:
    """The syncs that run now; with `run`, all tables of that run, whether they run or not."""
    # Nothing without this word in its command line is a Meltano or has its settings.
    everyone = (census or usage.Census()).look()
    seen = [one for one in everyone if any("meltano" in word for word in one.words)]
    given = status.read(logs / run) if run else None
    statuses = status.alive(logs) if not run else [given] if given else []
    told = {(entry.table, entry.mode): entry for one in statuses for entry in one.tables}
    found: list[Running] = []
    for table in tables:
        for mode in MODES:
            if mode not in table.jobs or (run and (table.name, mode) not in told):
                continue
            running = _running(table, mode, root, told.get((table.name, mode)), seen)
            if running is not None:
                found.append(running)
    return found


def _running(
    table: Table, mode: Mode, root: Path, told: TableStatus | None, seen: Sequence[usage.Seen]
) -> Running | None:
    groups, began = set(), None
    for process in runlock.processes_of(table, mode, root, seen):
        try:
            groups.add(os.getpgid(process.pid))
            moment = datetime.fromtimestamp(process.create_time(), timezone.utc)
        except (ProcessLookupError, psutil.Error):
            continue
        began = min(moment, began) if began else moment
    if told is not None:
        return Running(
            table, mode, told.began or began or datetime.now(timezone.utc), tuple(sorted(groups)), told, began
        )
    return Running(table, mode, began, tuple(sorted(groups))) if began else None


def look(
    view: LedgerView, meter: usage.Meter, running: Sequence[Running], idle: Sequence[tuple[Table, Mode]]
) -> Snapshot:
    """A snapshot of what runs, and of the last syncs of what does not."""
    found = lines(view, running, idle)
    used = meter.measure(group for one in running for group in one.groups)
    return Snapshot(datetime.now(timezone.utc), found, used)


def lines(view: LedgerView, running: Sequence[Running], idle: Sequence[tuple[Table, Mode]]) -> tuple[Line, ...]:
    """The same without what the processes use."""
    view.refresh(min((one.began for one in running), default=datetime.now(timezone.utc)))
    return (*(_line(view, one) for one in running), *(_idle_line(view, table, mode) for table, mode in idle))


@dataclass
class Others:
    """The syncs that a run does not see to. Its metrics tell of them too: all runs write the same file in turn."""

    pairs: Sequence[tuple[Table, Mode]]
    root: Path
    logs: Path
    view: LedgerView
    census: usage.Census = field(default_factory=usage.Census)

    def lines(self) -> tuple[Line, ...]:
        """One for each, whether it runs or not."""
        if not self.pairs:
            return ()
        tables = {table.name: table for table, _ in self.pairs}
        wanted = {(table.name, mode) for table, mode in self.pairs}
        found = find(tables.values(), self.root, self.logs, census=self.census)
        running = [one for one in found if (one.table.name, one.mode) in wanted]
        active = {(one.table.name, one.mode) for one in running}
        return lines(self.view, running, [pair for pair in self.pairs if (pair[0].name, pair[1]) not in active])


def _line(view: LedgerView, one: Running) -> Line:
    told = one.told
    alive = frozenset(role for group in one.groups for role in usage.roles(group))
    ended: Phase | None = None
    if told is not None and not one.groups:
        ended = _known(told.phase)
    note = told.reason if told is not None and ended in ("pausing", "failed", "stopped") else ""
    attempt = max(1, told.attempt) if told else 1
    return view.line(
        one.table, one.mode, one.began, alive=alive, ended=ended, attempt=attempt, attempt_began=one.attempt_began,
        note=note,
    )  # fmt: skip


def _idle_line(view: LedgerView, table: Table, mode: Mode) -> Line:
    newest, covered = view.newest(table, mode), view.covered(table)
    lag = covered.lag_seconds if covered else None
    if newest is None:
        return Line(table.name, mode, "waiting", lag_seconds=lag)
    shown: Phase = "done" if newest.whole else "stopped"
    return Line(table.name, mode, shown, newest.committed, newest.estimate, lag_seconds=lag)


def _known(phase: str) -> Phase:
    phases: Mapping[str, Phase] = {known: known for known in (*LIVE, "waiting", "pausing", "done", "failed", "stopped")}
    return phases.get(phase, "waiting")
