"""`scripts/performance_monitor.py`: attach to what runs, whoever started it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from sync_rules.exits import ConfigurationError, TargetUnreachable

from paralelo import attach, progress, project, redact, usage
from paralelo.alerts import Alert, Limits
from paralelo.cli.options import Parser, guarded
from paralelo.live import show, terminal_console
from paralelo.observe import Observer, memory_limit
from paralelo.project import MODES, Mode, Table
from paralelo.snapshot import Snapshot
from paralelo.view import grid
from paralelo.watch import LedgerView

_DAY_SECONDS = 86_400


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser(
        prog="performance_monitor.py",
        description="The live view of the syncs that run on this machine; their metrics, scores and alerts.",
        epilog="Metrics go to logs/metrics.jsonl and logs/paralelo.prom. It only reads: ending it ends no sync.",
    )
    made.add_argument("--run", metavar="ID", help="one supervised run, by the name of its folder in logs/")
    made.add_argument("--once", action="store_true", help="look once and end")
    made.add_argument("--json", action="store_true", help="JSON: one document with --once, else one line per look")
    made.add_argument("--follow", action="store_true", help="go on when nothing runs, until it is ended")
    made.add_argument(
        "--interval", type=float, metavar="S", help="seconds between looks (default 1 on a terminal, else 5)"
    )
    made.add_argument("--port", type=int, metavar="PORT", help="answer at /metrics on this port; 0 chooses one")
    made.add_argument("--address", default="127.0.0.1", help="where to answer (default 127.0.0.1)")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code: 0, or what kept it from looking."""
    return guarded(lambda: _monitor(parser().parse_args(arguments)))


class Monitor:
    """One attached monitor."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.root = options, project.root()
        self.logs = self.root / "logs"
        self.tables = project.tables(self.root)
        settings = progress.settings()
        self.view, self.meter = LedgerView(), usage.Meter()
        self.pairs: list[tuple[Table, Mode]] = [(t, m) for t in self.tables for m in MODES if m in t.jobs]
        clean = redact.redactor(redact.secrets(settings))
        limits = Limits.from_settings(settings, memory_limit())
        self.observer = Observer(self.pairs, self.view, self.logs, limits, run=options.run, redact=clean)
        self.census = usage.Census()
        self.running: list[attach.Running] = []
        self.alerts: tuple[Alert, ...] = ()
        self._unwritten = False

    def look(self, *, last: bool = False) -> Snapshot:
        """One look, judged and written down."""
        self.running = attach.find(self.tables, self.root, self.logs, self.options.run, self.census)
        active = {(one.table.name, one.mode) for one in self.running}
        idle = [] if self.options.run else [pair for pair in self.pairs if (pair[0].name, pair[1]) not in active]
        snapshot, self.alerts = self.observer.judge(attach.look(self.view, self.meter, self.running, idle))
        recoveries = sum(one.told.recoveries for one in self.running if one.told is not None)
        try:
            self.observer.write(snapshot, self.alerts, time.monotonic(), recoveries=recoveries, last=last)
        except OSError as error:
            # Another user's folder, or a full disk: no reason not to look.
            if not self._unwritten:
                self._unwritten = True
                said = f"! {self.logs} cannot be written ({error.strerror}): the view goes on, no metrics are kept"
                terminal_console(errors=True).print(said)
        return snapshot

    def document(self, snapshot: Snapshot) -> dict[str, object]:
        """A snapshot as JSON."""
        scores = self.observer.scores(snapshot)
        lines = []
        for line in snapshot.lines:
            judged = scores.get((line.table, line.mode))
            lines.append({**asdict(line), "percent": line.percent, "eta_seconds": line.eta_seconds,
                          "score": asdict(judged) if judged else None})  # fmt: skip
        return {
            "at": snapshot.at,
            "rows": snapshot.committed,
            "rows_per_second": snapshot.rate_now,
            "usage": asdict(snapshot.usage),
            "tables": lines,
            "alerts": [asdict(alert) for alert in self.alerts],
            "trouble": self.view.trouble,
        }

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to see."""
        return not any(one.groups or (one.told and one.told.phase == "pausing") for one in self.running)


def _monitor(options: argparse.Namespace) -> int:
    # Written so that what is no number (nan) is refused too.
    if options.interval is not None and not 0 < options.interval <= _DAY_SECONDS:
        raise ConfigurationError("--interval is more than 0 seconds, and a day at most")
    monitor = Monitor(options)
    if options.run and (Path(options.run).name != options.run or not (monitor.logs / options.run).is_dir()):
        raise ConfigurationError(f"there is no run {options.run} in logs/")
    console = terminal_console()
    if options.port is not None:
        port = monitor.observer.metrics.serve(options.port, options.address)
        terminal_console(errors=True).print(f"metrics at http://{options.address}:{port}/metrics", style="dim")
    # The first look only sets the meter: CPU is measured between two.
    snapshot = monitor.look()
    if options.once:
        return _once(monitor, console)
    if not monitor.running and not options.follow and not options.json:
        _print(monitor, snapshot, console)
        console.print("nothing runs now", style="dim")
        if monitor.view.trouble:
            raise TargetUnreachable(monitor.view.trouble)
        return 0
    try:
        _follow(monitor, console)
    except KeyboardInterrupt:
        return 0
    return 0


def _once(monitor: Monitor, console: Console) -> int:
    time.sleep(0.5)
    snapshot = monitor.look(last=True)
    if monitor.options.json:
        sys.stdout.write(json.dumps(monitor.document(snapshot), default=str, indent=2) + "\n")
    else:
        _print(monitor, snapshot, console)
    if monitor.view.trouble:
        raise TargetUnreachable(monitor.view.trouble)
    return 0


def _print(monitor: Monitor, snapshot: Snapshot, console: Console) -> None:
    console.print(grid(snapshot, console.width))
    for line in snapshot.lines:
        judged = monitor.observer.scores(snapshot).get((line.table, line.mode))
        if judged is not None:
            why = f": {judged.why}" if judged.why else ""
            console.print(f"{line.table}: {judged.grade}, {judged.points} of 100{why}", style="dim")


def _follow(monitor: Monitor, console: Console) -> None:
    def over() -> bool:
        return monitor.ended and not monitor.options.follow

    if not monitor.options.json:
        show(monitor.look, over, console, every=monitor.options.interval)
        return
    while True:
        snapshot = monitor.look()
        sys.stdout.write(json.dumps(monitor.document(snapshot), default=str) + "\n")
        sys.stdout.flush()
        if over():
            return
        time.sleep(monitor.options.interval or 5.0)


if __name__ == "__main__":
    sys.exit(main())
