"""One table of a run: its supervisor, and everything that supervisor reaches the world by."""

from __future__ import annotations

import random
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console
from sync_rules.exits import Exit

from paralelo import history, jobs, leftovers, progress, project, report, runlock, status, usage
from paralelo.clock import Clock
from paralelo.notify import Notifier
from paralelo.observe import Observer
from paralelo.policy import Policy
from paralelo.project import Mode, Table
from paralelo.redact import Redactor
from paralelo.report import TableReport
from paralelo.runlog import RunLog
from paralelo.score import comparable, score
from paralelo.snapshot import Line
from paralelo.supervise import Event, Ports, Process, Sign, Supervisor
from paralelo.view import span
from paralelo.watch import LedgerView


@dataclass(frozen=True)
class Plan:
    """What to run. `at_once` is how many tables may run at the same time."""

    mode: Mode
    tables: tuple[Table, ...]
    at_once: int
    policy: Policy = field(default_factory=Policy)
    env: Mapping[str, str] = field(default_factory=dict)
    root: Path = field(default_factory=lambda: project.root())
    logs: Path | None = None
    metrics_port: int | None = None

    @property
    def logs_folder(self) -> Path:
        """Where all runs keep their logs."""
        return self.logs or self.root / "logs"


@dataclass(frozen=True)
class Context:
    """What the tables of one run share. `remember` takes a helper process to wait for before the run ends."""

    id: str
    plan: Plan
    environment: str
    began: datetime
    folder: Path
    clock: Clock
    console: Console
    redact: Redactor
    view: LedgerView
    observer: Observer
    notifier: Notifier
    remember: Callable[[subprocess.Popen[bytes]], None]


class Track:
    """One table of a run: its supervisor, and everything that supervisor reaches the world by."""

    def __init__(self, run: Context, table: Table) -> None:
        self.run, self.table, self.mode = run, table, run.plan.mode
        self._began_at: float | None = None
        self._ended_at: float | None = None
        self.job: jobs.RunningJob | None = None
        self.recoveries: Counter[str] = Counter()
        self.meter = usage.Meter()
        self._roles: frozenset[str] = frozenset()
        self._run_ids: list[str] = []
        self._ages: dict[str, float] = {}
        self.log_path = run.folder / f"{table.name}-{self.mode}.jsonl"
        context = {"run": run.id, "table": table.name, "mode": self.mode, "job": table.job(self.mode)}
        self.log = RunLog(self.log_path, run.redact, context)
        ports = Ports(self._start, self._sign, self._prove_gone, self._clean, self._tell, random.random)
        self.supervisor = Supervisor(table.name, self.mode, run.plan.policy, ports, run.clock)

    @property
    def began(self) -> datetime | None:
        """When it began, by this machine's clock as it is set now."""
        if self._began_at is None:
            return None
        return self.run.clock.now() - timedelta(seconds=self.run.clock.monotonic() - self._began_at)

    @property
    def busy(self) -> bool:
        """Whether it takes one of the places."""
        return self.supervisor.process is not None

    @property
    def group(self) -> int | None:
        """Its process group while it runs."""
        return self.job.process.pid if self.job is not None and self.busy else None

    @property
    def refused(self) -> bool:
        """Whether another sync of the table kept each of its attempts out: what the ledger counts is that one's."""
        attempts = self.supervisor.attempts
        return bool(attempts) and not self.busy and all(one.exit is Exit.ALREADY_RUNNING for one in attempts)

    def begin(self) -> None:
        """Start it, and write down that it began."""
        self._began_at = self.run.clock.monotonic()
        self._remember("begin")
        self.supervisor.begin()

    def refresh(self) -> None:
        """Look at its processes."""
        group = self.group
        self._roles = frozenset() if group is None else usage.roles(group)
        if group is not None:
            self.meter.measure([group])

    def line(self) -> Line:
        """Its line of the live view."""
        supervisor = self.supervisor
        began = self.began
        if began is None or (self.job is None and not supervisor.over):
            return Line(self.table.name, self.mode, supervisor.phase)
        left = supervisor.pause_left
        note = f"next attempt in {span(left)}: {supervisor.attempts[-1].reason}" if left is not None else ""
        if supervisor.outcome is not None and not supervisor.outcome.ok:
            note = supervisor.outcome.reason
        if self.refused:
            return Line(self.table.name, self.mode, supervisor.phase, attempt=max(1, supervisor.attempt), note=note)
        return self.run.view.line(
            self.table,
            self.mode,
            began,
            ended=None if self.busy else supervisor.phase,
            alive=self._roles,
            attempt=max(1, supervisor.attempt),
            attempt_began=None if self.job is None else self.job.started,
            note=note,
        )

    def status(self) -> status.TableStatus:
        """What monitors that attach are told."""
        supervisor = self.supervisor
        reason = supervisor.attempts[-1].reason if supervisor.attempts else ""
        return status.TableStatus(
            self.table.name, self.mode, supervisor.phase, supervisor.attempt, self.began, self.group, reason,
            sum(self.recoveries.values()),
        )  # fmt: skip

    def stop_for_certain(self) -> None:
        """End what still runs: the last resort, when the run itself broke."""
        if self.job is not None and self.busy:
            self.job.stop()

    def report(self) -> TableReport:
        """Its part of the report."""
        supervisor, began = self.supervisor, self.began
        outcome = supervisor.outcome
        found = self.run.view.entry(self.table, self.mode, began) if began and not self.refused else None
        until = self.run.clock.monotonic() if self._ended_at is None else self._ended_at
        seconds = until - self._began_at if self._began_at is not None else 0.0
        counts = report.counts(found)
        rate = counts["read"] / seconds if counts and seconds > 0 else None
        ended = {"done": "finished", "stopped": "stopped"}.get(supervisor.phase, "failed")
        rates = comparable(self.run.observer.rates.get((self.table.name, self.mode), []), counts.get("read"))
        enough = counts.get("read", 0) >= history.LEAST_ROWS and ended == "finished"
        return TableReport(
            self.table.name,
            self.mode,
            ended,
            outcome.exit if outcome else Exit.UNEXPECTED,
            self.run.redact(outcome.reason) if outcome else "it was not concluded",
            seconds,
            tuple(supervisor.attempts),
            peak_memory=self.meter.peak_memory or None,
            score=score(rate, rates, sum(self.recoveries.values()), counts["rejected"] or 0) if enough else None,
            **counts,
        )

    def _start(self, attempt: int, force: bool) -> Process:
        self.job = jobs.start(
            self.table.job(self.mode),
            self.log_path,
            self.run.plan.env,
            root=self.run.plan.root,
            force=force,
            context={"run": self.run.id, "table": self.table.name, "mode": self.mode, "attempt": attempt},
        )
        self._run_ids.append(self.job.run_id)
        return self.job

    def _sign(self, _: Process) -> Sign:
        line = self.line()
        # That commits became rare is no sign of life.
        return Sign("reading" if line.phase == "loading" else line.phase, line.committed, not self.run.view.trouble)

    def _prove_gone(self) -> runlock.Proof:
        plan = self.run.plan
        proof = runlock.prove_gone(self.table, self.mode, plan.root, plan.env, self._run_ids, self._ages)
        self._run_ids += proof.dead
        return proof

    def _clean(self, proven: bool) -> None:
        plan = self.run.plan
        if proven:
            plugins = frozenset({self.table.extractors[self.mode], self.table.loader})
            removed = leftovers.remove(plan.root, plugins=plugins, young_seconds=0)
            state_id = self.table.state_id(self.mode, self.run.environment)
            self.run.remember(runlock.release(state_id, self.run.clock.now(), plan.root, plan.env, self._run_ids))
        else:
            removed = leftovers.remove(plan.root)
        if removed:
            self.log.event("removed what a dead run left", files=len(removed))

    def _tell(self, event: Event) -> None:
        if event.kind == "recovering":
            reason = event.exit.name.lower() if event.exit is not None else "unexpected"
            self.recoveries[reason] += 1
            self._remember("attempt", reason=event.reason)
        if event.kind in ("finished", "failed", "stopped"):
            self._ended_at = self.run.clock.monotonic()
            self._refresh_and_remember()
        level = "error" if event.kind in ("failed", "stalled") else "info"
        more = {"exit": int(event.exit)} if event.exit is not None else {}
        pause = {"pause_seconds": round(event.pause, 1)} if event.pause is not None else {}
        shown = self.supervisor.sign.phase if event.kind == "ended" else self.supervisor.phase
        phase = {"phase": shown, "attempt": event.attempt}
        self.log.event(event.kind, level, **phase, reason=event.reason, **more, **pause)
        self._say(event)
        self.run.notifier.about(event)

    def _say(self, event: Event) -> None:
        """In the terminal's scroll, what a line of the live view would not keep. That it failed, the end tells."""
        if event.kind not in ("stalled", "recovering"):
            return
        said = event.reason
        if event.kind == "recovering":
            said = f"{event.reason}; attempt {event.attempt} in {span(event.pause)}"
        text = self.run.redact(f"{self.run.clock.now():%H:%M:%S} {self.table.name}: {said}")
        self.run.console.print(text, style="yellow")

    def _refresh_and_remember(self) -> None:
        if began := self.began:
            self.run.view.refresh(began)
            self._remember("end")

    def _remember(self, statement: str, reason: str = "") -> None:
        part, plan = self.report(), self.run.plan
        record = history.Record(
            self.run.id, self.table.name, progress.default_schema(plan.env), self.table.target, self.mode,
            self.table.job(self.mode), self.run.environment, socket.gethostname(), outcome=part.outcome,
            exit=int(part.exit), reason=self.run.redact(reason or part.reason),
            attempts=max(1, self.supervisor.attempt),
            recoveries=dict(self.recoveries), sync_id=part.sync_id, rows_read=part.read, rows_written=part.written,
            rows_unchanged=part.unchanged, rows_stale=part.stale, rows_rejected=part.rejected, seconds=part.seconds,
            peak_memory=part.peak_memory,
        )  # fmt: skip
        if trouble := history.write(statement, record, self.run.plan.env):
            self.log.event(f"history was not kept: {trouble}", level="warning")
