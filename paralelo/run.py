"""Several tables' syncs under recovery, at most so many at once, and one monitor over all of them."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import FrameType

from rich.console import Console
from sync_rules.exits import ConfigurationError, Exit

from paralelo import (
    attach,
    history,
    jobs,
    notify,
    progress,
    project,
    redact,
    report,
    runlog,
    status,
    systemdb,
    usage,
)
from paralelo.alerts import Alert, Limits
from paralelo.clock import Clock, SystemClock
from paralelo.live import can_redraw, show, unfailing
from paralelo.observe import Observer, memory_limit
from paralelo.outcomes import Outcome
from paralelo.project import MODES, Mode, Table
from paralelo.report import Report
from paralelo.runlog import RunLog
from paralelo.snapshot import Snapshot
from paralelo.track import Context, Plan, Track
from paralelo.view import counted, span
from paralelo.watch import LedgerView

_CONNECTIONS: Mapping[Mode, tuple[int, int]] = {"full": (10, 4), "incremental": (8, 2)}
"""By mode: connections to the source at most, and how many one table may use."""
_LOOK_SECONDS = 1.0


def default_at_once(mode: Mode, tables: int, cores: int | None = None) -> int:
    """As many tables as there are cores, and as the source's connections allow."""
    most, each = _CONNECTIONS[mode]
    return max(1, min(tables, cores or os.cpu_count() or 1, most // each))


def new_run_id(now: datetime) -> str:
    """A name that sorts by time."""
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class Run:
    """One run, from `execute` to its report."""

    def __init__(self, plan: Plan, console: Console, clock: Clock | None = None) -> None:
        jobs.meltano()
        self.plan, self.console, self.clock = plan, unfailing(console), clock or SystemClock()
        self.settings = progress.settings(plan.env, plan.root)
        self.environment = project.environment(self.settings, plan.root)
        self.began, self._began_at = self.clock.now(), self.clock.monotonic()
        self.id = new_run_id(self.began)
        self.folder = plan.logs_folder / self.id
        self.redact = redact.redactor(redact.secrets(self.settings))
        self.log = RunLog(self.folder / "run.jsonl", self.redact, {"run": self.id, "mode": plan.mode})
        self.notifier = notify.from_settings(self.settings, self.redact, self._trouble)
        self.view = LedgerView(plan.env)
        self.meter = usage.Meter()
        mine = {(table.name, plan.mode) for table in plan.tables}
        declared = [(table, mode) for table in project.tables(plan.root) for mode in MODES if mode in table.jobs]
        rest = [pair for pair in declared if (pair[0].name, pair[1]) not in mine]
        self.observer = Observer(
            [*((table, plan.mode) for table in plan.tables), *rest],
            self.view,
            plan.logs_folder,
            Limits.from_settings(self.settings, memory_limit()),
            plan.env,
            self.id,
            self.redact,
            others=attach.Others(rest, plan.root, plan.logs_folder, LedgerView(plan.env)),
        )
        self._helpers: list[subprocess.Popen[bytes]] = []
        shared = Context(
            self.id, plan, self.environment, self.began, self.folder, self.clock, console, self.redact, self.view,
            self.observer, self.notifier, self._helpers.append,
        )  # fmt: skip
        self.tracks = [Track(shared, table) for table in plan.tables]
        self._signals = 0
        self._handled = 0
        self._unwritten = False
        self._looked_at: float | None = None
        self._alerted: set[Alert] = set()
        self._used = usage.Usage()

    def execute(self) -> Report:
        """Run all of it. Returns how it ended; a signal ends it early, at a page.

        Whatever breaks on the way, each table is concluded: report, history and notices tell of it.
        """
        self._keep(lambda: self.folder.mkdir(parents=True, exist_ok=True))
        with self._signals_caught():
            try:
                self._prepare()
                show(self._look, self._over, self.console, sleep=self._sleep)
            except ConfigurationError as error:
                self._refused(error)
                raise
            except Exception as error:
                self._broke(error)
            finally:
                self._end_all()
        return self._report()

    def _prepare(self) -> None:
        runlog.forget_old(self.plan.logs_folder)
        # Also for one table: schedules start several of these at the same second.
        systemdb.prepare(self.plan.root, self.settings, unwanted=lambda: self._signals > 0)
        history.bury(status.dead(self.plan.logs_folder), self.plan.env)
        if self.plan.metrics_port is not None:
            port = self.observer.metrics.serve(self.plan.metrics_port)
            self.console.print(f"metrics at http://127.0.0.1:{port}/metrics", style="dim")
        self.log.event("run started", tables=[table.name for table in self.plan.tables], at_once=self.plan.at_once)

    def _broke(self, error: Exception) -> None:
        why = f"the run itself broke: {type(error).__name__}: {error}"
        self.log.event(why, level="error", traceback=traceback.format_exc())
        for track in self.tracks:
            track.stop_for_certain()
            track.supervisor.give_up(Outcome(Exit.UNEXPECTED, why))

    def _refused(self, error: ConfigurationError) -> None:
        """Report settings that keep every table from beginning; whoever called tells of them."""
        for track in self.tracks:
            track.stop_for_certain()
            track.supervisor.outcome = track.supervisor.outcome or Outcome(error.exit, str(error))
        self.log.event(str(error), level="error")
        self._report()

    def _over(self) -> bool:
        return all(track.supervisor.over for track in self.tracks)

    def _sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self._step()

    def _step(self) -> None:
        """One round: hear signals, look at the ledger if it is time, let each supervisor do what is due."""
        while self._signals > self._handled:
            self._handled += 1
            for track in self.tracks:
                track.supervisor.stop()
        self._refresh()
        busy = sum(track.busy for track in self.tracks)
        for track in self.tracks:
            supervisor = track.supervisor
            if supervisor.over:
                continue
            waiting = not track.busy
            if waiting and busy >= self.plan.at_once:
                continue
            if supervisor.begun:
                supervisor.step()
            else:
                track.begin()
            busy += waiting and track.busy

    def _refresh(self, *, anyway: bool = False) -> None:
        now = self.clock.monotonic()
        if anyway or self._looked_at is None or now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            self.view.refresh(min((track.began for track in self.tracks if track.began), default=self.began))
            for track in self.tracks:
                track.refresh()
            # Here, not where it is shown: a peak between two looks is a peak.
            self._used = self.meter.measure(track.group for track in self.tracks if track.group is not None)

    def _look(self) -> Snapshot:
        self._step()
        over = self._over()
        if over:
            self._refresh(anyway=True)
        raw = Snapshot(self.clock.now(), tuple(track.line() for track in self.tracks), self._used)
        snapshot, alerts = self.observer.judge(raw)
        self._keep(lambda: self.observer.write(snapshot, alerts, self.clock.monotonic(), last=over))
        self._keep(lambda: status.write(self.folder, self.id, tuple(track.status() for track in self.tracks)))
        known = {(alert.kind, alert.table) for alert in self._alerted}
        for alert in alerts:
            if (alert.kind, alert.table) not in known:
                self.log.event("alert", level="warning", kind=alert.kind, table=alert.table, reason=alert.text)
                if not can_redraw(self.console):
                    self.console.print(f"{snapshot.at:%H:%M:%S} ! {alert.text}")
        self._alerted = set(alerts)
        return snapshot

    def _keep(self, write: Callable[[], object]) -> None:
        """Write down how it goes. That it cannot be is said once, and no reason to end what goes well."""
        try:
            write()
        except OSError as error:
            if not self._unwritten:
                self._unwritten = True
                place = _short(Path(error.filename or self.folder), self.plan.root)
                self.console.print(f"! {place} cannot be written ({error.strerror}): the syncs go on without it")

    def _trouble(self, text: str) -> None:
        self.log.event(text, level="warning")

    @contextmanager
    def _signals_caught(self) -> Iterator[None]:
        def hear(_: int, __: FrameType | None) -> None:
            self._signals += 1

        heard = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            heard.remove(signal.SIGHUP)  # `nohup`: it is to outlive the terminal
        before = {signum: signal.signal(signum, hear) for signum in heard}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _end_all(self) -> None:
        """Whatever happened, leave no process."""
        for track in self.tracks:
            track.stop_for_certain()
        for helper in self._helpers:
            try:
                helper.wait(timeout=60)
            except subprocess.TimeoutExpired:
                helper.kill()
        self.notifier.finish()

    def _report(self) -> Report:
        self.view.refresh(min((track.began for track in self.tracks if track.began), default=self.began))
        parts = tuple(track.report() for track in self.tracks)
        seconds = self.clock.monotonic() - self._began_at
        found = Report(self.id, self.began, seconds, parts, self.meter.peak_memory, str(self.folder))
        self._keep(lambda: status.write(self.folder, self.id, tuple(track.status() for track in self.tracks)))
        self._keep(lambda: report.write(found, self.folder))
        self.log.event("run ended", exit_code=found.exit_code, seconds=round(seconds, 1))
        self.view.close()
        self.observer.close()
        return found


def run(plan: Plan, console: Console, say: Callable[[Report], None] | None = None) -> Report:
    """Run a plan and print its closing table, or give the report to `say`."""
    found = Run(plan, console).execute()
    if say is not None:
        with suppress(OSError):  # nobody reads it: how the syncs ended is the exit code's to say
            say(found)
    else:
        console.print()
        console.print(report.grid(found, console.width))
        tables = counted(len(found.tables), "table", "tables")
        total = f"{report.ended_tables(found.tables)} in {span(found.seconds)}, {tables}"
        console.print(f"{total}; peak memory {found.peak_memory / 1e6:,.0f} MB", style="dim")
        if os.access(Path(found.logs) / status.REPORT, os.R_OK):
            console.print(f"logs and report.json: {_short(Path(found.logs), plan.root)}", style="dim")
    return found


def _short(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def tables_of(wanted: str, mode: Mode) -> Sequence[Table]:
    """The tables of that name, or all that have this mode."""
    found = project.named(wanted, project.tables())
    return [table for table in found if mode in table.jobs] if wanted == "all" else found
