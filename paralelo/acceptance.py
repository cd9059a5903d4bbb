"""The acceptance run: a full sync that is killed, halted and recovered on real servers, then compared cell by cell.

It writes to tables of its own only: a schema of its own in the target, dropped at the end, with a state and a Meltano
database of their own. The source is only read.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import psutil
import psycopg
from psycopg import sql
from rich.console import Console
from sync_rules.exits import ConfigurationError

from paralelo import history, progress, project, redact, runlock, runlog, usage
from paralelo.policy import Policy
from paralelo.project import Mode, Table
from paralelo.queries import query
from paralelo.report import INTERRUPTED, Report
from paralelo.run import Run
from paralelo.track import Plan

SCHEMA = "paralelo_acceptance"
FOLDER = Path(".paralelo", "acceptance")
LEAST_ROWS = 10_000
RECOVERY_SECONDS = 10.0
LEAST_PAGES = 40
PAGE_ROWS = {"tap-oracle-wms": 1_250}
"""What a tap takes at most, where it is less than a full sync's usual page."""
Victim = Literal["tap", "target", "meltano"]


@dataclass(frozen=True)
class Check:
    """One thing that was asked, and how it came out."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Blow:
    """What is done to the run once that share of its rows is committed."""

    share: float
    victim: Victim
    signum: signal.Signals

    def __str__(self) -> str:
        victim = "Meltano" if self.victim == "meltano" else f"the {self.victim}"
        return f"{self.signum.name} to {victim} at {100 * self.share:.0f}%"


BLOWS = (
    Blow(0.15, "tap", signal.SIGKILL),
    Blow(0.4, "meltano", signal.SIGKILL),
    Blow(0.65, "target", signal.SIGSTOP),
)


@dataclass
class Saboteur:
    """Deals the blows, from a thread of its own, by what the ledger says is committed."""

    table: Table
    root: Path
    env: Mapping[str, str]
    rows: int
    blows: Sequence[Blow]
    dealt: list[tuple[Blow, datetime, int]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        """Until all blows are dealt, or the run is over."""
        with progress.connect(self.env) as connection:
            for blow in self.blows:
                while not self._over.wait(0.1):
                    found = _staging(connection, self.table)
                    if (
                        found is not None
                        and found.committed >= blow.share * self.rows
                        and strike(self.table, "full", self.root, blow.victim, blow.signum)
                    ):
                        self.dealt.append((blow, progress.clock(connection), found.committed))
                        break

    def stop(self) -> None:
        """Deal no more."""
        self._over.set()


class Acceptance:
    """One acceptance run of one table."""

    def __init__(self, table: Table, policy: Policy, console: Console, blows: Sequence[Blow] = BLOWS) -> None:
        self.table, self.policy, self.console, self.blows = table, policy, console, blows
        self.main_root = project.root()
        self.root = self.main_root / FOLDER
        self.env = {
            "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": SCHEMA,
            **own_environment(self.root),
        }
        self.settings = progress.settings(self.env, self.main_root)
        self.checks: list[Check] = []

    def execute(self) -> list[Check]:
        """All of it. Returns every check."""
        self._prepare()
        try:
            self._undisturbed()
            self._disturbed()
            self._incremental()
            self._leavings()
        finally:
            self._drop_schema()
        return self.checks

    def _prepare(self) -> None:
        private_project(self.root, self.main_root)
        self._drop_schema()

    def _run(self, mode: Mode, what: str) -> Report:
        self.console.print(f"\n{what}", style="bold")
        plan = Plan(mode, (self.table,), 1, self.policy, self.env, self.root, self.root / "logs")
        found = Run(plan, self.console).execute()
        if found.exit_code == INTERRUPTED:
            raise KeyboardInterrupt  # what is left to check would say nothing of a run that somebody ended
        return found

    def _undisturbed(self) -> None:
        found = self._run("full", "A full sync, undisturbed")
        [part] = found.tables
        self._check("a full sync finishes", part.outcome == "finished", part.reason)
        rows = part.read or 0
        self._check(f"more than {LEAST_ROWS:,} rows", rows > LEAST_ROWS, f"{rows:,} rows")
        rate, told = velocity(self._commits(), part.rows_per_second)
        self._check("velocity", rate > 0, told)
        self._compare("after an undisturbed full sync")
        self.rows = rows
        # So many pages that every blow falls between two, also of a table that would be read in one.
        name = f"{self.table.plugin}_page_size".upper().replace("-", "_")
        most = int(self.settings.get(name) or PAGE_ROWS.get(self.table.plugin, 50_000))
        self.env[name] = str(max(1, min(rows // LEAST_PAGES, most)))

    def _disturbed(self) -> None:
        saboteur = Saboteur(self.table, self.root, self.env, self.rows, self.blows)
        thread = threading.Thread(target=saboteur.work, daemon=True)
        thread.start()
        found = self._run("full", f"The same, with {', '.join(str(blow) for blow in self.blows)}")
        saboteur.stop()
        thread.join(timeout=10)
        [part] = found.tables
        tries = f"{len(part.attempts)} attempts: {'; '.join(attempt.reason for attempt in part.attempts)}"
        self._check("every blow was dealt", len(saboteur.dealt) == len(self.blows), f"{len(saboteur.dealt)} blows")
        self._check("the sync recovers from every blow", part.outcome == "finished", tries)
        self._check("no row is read twice", part.read == self.rows, f"{part.read or 0:,} of {self.rows:,} committed")
        for blow, moment, before in saboteur.dealt:
            self._recovery(blow, moment, before)
        self._compare("after kills and a stall")

    def _recovery(self, blow: Blow, moment: datetime, before: int) -> None:
        """From the blow to the first batch committed at the old rate, less the pause and the patience configured."""
        times = self._commits()
        restarted, pause = self._restart(moment)
        earlier = [(at, rows) for at, rows in times if at <= moment]
        # A target whose tap was killed still commits what it has: that is no recovery.
        later = [(at, rows) for at, rows in times if at > restarted]
        usual = _rate(earlier[-6:])
        gaps = [(later[i][0], later[i][1] / max(0.001, (later[i][0] - later[i - 1][0]).total_seconds()))
                for i in range(1, len(later))]  # fmt: skip
        back = next((at for at, rate in gaps if usual is None or rate >= 0.5 * usual), later[-1][0] if later else None)
        if back is None:
            self._check(f"recovery after {blow}", False, "nothing was committed after it")
            return
        waited = (back - moment).total_seconds()
        configured = pause + (self.policy.stall if blow.signum == signal.SIGSTOP else 0)
        own = waited - configured
        self._check(
            f"back at its rate within {RECOVERY_SECONDS:.0f} s of {blow}",
            own <= RECOVERY_SECONDS,
            f"{own:.1f} s of its own in {waited:.1f} s, from {before:,} rows on",
        )

    def _restart(self, moment: datetime) -> tuple[datetime, float]:
        """When the attempt after this blow was started, and the pause that was configured before it: from the log."""
        newest = max(
            (self.root / "logs").glob(f"*/{self.table.name}-full.jsonl"), key=lambda path: path.stat().st_mtime
        )
        return restart_after(moment, runlog.lines(newest))

    def _incremental(self) -> None:
        [part] = self._run("incremental", "An incremental sync after it").tables
        self._check(
            "an incremental sync finishes", part.outcome == "finished", f"{part.read or 0:,} rows, {part.reason}"
        )

    def _leavings(self) -> None:
        living = runlock.processes_of(self.table, "full", self.root)
        self._check("no process is left", not living, f"{len(living)} left")
        files = list((self.root / ".meltano" / "run").glob("*/*.config.json"))
        self._check("no settings file is left", not files, f"{len(files)} left")
        known = [secret for secret in redact.secrets(self.settings) if len(secret) >= 6]
        places = self.root.rglob("*")
        texts = [path for path in places if path.is_file() and not path.is_symlink() and path.name != ".env"]
        holding = [path.name for path in texts if any(secret.encode() in path.read_bytes() for secret in known)]
        self._check("no secret in anything written", not holding, ", ".join(holding) or f"{len(texts)} files searched")

    def _compare(self, when: str) -> None:
        self.console.print(f"\nComparing every cell {when}", style="bold")
        done = subprocess.run(
            [sys.executable, "-m", "paralelo.verify", self.table.source, "--deep", "--json", "-"],
            cwd=self.main_root, env={**os.environ, **self.env}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        self._check(f"both sides are equal {when}", done.returncode == 0, _told(done))

    def _commits(self) -> list[tuple[datetime, int]]:
        values = {"schema": SCHEMA, "table": self.table.target}
        with progress.connect(self.env) as connection:
            return [(row["committed_at"], row["rows"]) for row in connection.execute(query("progress.commits"), values)]

    def _check(self, name: str, passed: bool, detail: str) -> None:
        self.checks.append(Check(name, passed, detail))
        style = "green" if passed else "bold red"
        self.console.print(f"{'pass' if passed else 'FAIL'}  {name}: {detail}", style=style)

    def _drop_schema(self) -> None:
        with progress.connect(self.env, read_only=False) as connection:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(SCHEMA)))
            if progress.ledger_exists(connection):
                connection.execute(query("progress.forget_schema"), {"schema": SCHEMA})
            history.forget_schema(connection, SCHEMA)


def restart_after(moment: datetime, log: Iterable[Mapping[str, Any]]) -> tuple[datetime, float]:
    """When the first attempt after a moment was started, and the pause that was configured before it."""
    pause = 0.0
    for line in log:
        # Ours first: what others write has times of their own kind, or none.
        if line.get("source") != "paralelo" or line.get("event") not in ("recovering", "started"):
            continue
        at = datetime.fromisoformat(line["timestamp"])
        if at > moment and line["event"] == "recovering":
            pause = float(line.get("pause_seconds", 0))
        elif at > moment:
            return at, pause
    return moment, pause


def private_project(root: Path, main_root: Path) -> None:
    """A project of its own, of the same files, with the same plugins installed; what was there before is gone.

    Raises ConfigurationError where there is no project, or one that was not set up.
    """
    project.main_file(main_root)
    shutil.rmtree(root, ignore_errors=True)
    (root / ".meltano").mkdir(parents=True)
    (root / "state").mkdir()
    # Meltano wants its own files inside the project; what they point at may be elsewhere.
    for name in ("extract", "load"):
        shutil.copytree(main_root / name, root / name)
    shutil.copyfile(main_root / "meltano.yml", root / "meltano.yml")
    for name in ("plugins", "requirements", ".venv", ".env"):
        if (main_root / name).exists():
            (root / name).symlink_to(main_root / name)
    for kind in ("extractors", "loaders"):
        installed = main_root / ".meltano" / kind
        if not installed.is_dir():
            raise ConfigurationError("Meltano's plugins are not installed: run make setup")
        (root / ".meltano" / kind).symlink_to(installed)


def own_environment(root: Path) -> dict[str, str]:
    """What keeps such a project's state, runs and notices its own."""
    return {
        "MELTANO_STATE_BACKEND_URI": project.state_uri(root / "state"),
        "MELTANO_DATABASE_URI": f"sqlite:///{root / 'meltano.db'}",
        "MELTANO_ENVIRONMENT": "dev",
        "PARALELO_NOTIFY_URLS": "",
    }


def strike(table: Table, mode: Mode, root: Path, victim: Victim, signum: signal.Signals) -> bool:
    """Send a signal to the tap, the target or the Meltano of a running sync. Returns whether there was one."""
    for process in usage.members(runlock.groups_of(table, mode, root)):
        with suppress(psutil.Error, ProcessLookupError):
            words = [Path(word).name for word in process.cmdline()[:2]]
            if any(word == victim or word.startswith(f"{victim}-") for word in words):
                process.send_signal(signum)
                return True
    return False


def _staging(connection: progress.Connection, table: Table) -> progress.Progress | None:
    try:
        found = progress.newest(connection, ["full"])
    except psycopg.Error:
        return None
    mine = [entry for entry in found if (entry.schema, entry.table) == (SCHEMA, table.target)]
    return next((entry for entry in mine if entry.status == "staging"), None)


def velocity(commits: Sequence[tuple[datetime, int]], whole: float | None) -> tuple[float, str]:
    """Rows a second, and in words: of the commits, or where all came in one, of the whole sync."""
    rate = _rate(commits)
    if rate is not None:
        return rate, f"{rate:,.0f} rows/s from first to last commit"
    return whole or 0.0, f"{whole or 0.0:,.0f} rows/s, its start included: they were one page"


def _rate(commits: Sequence[tuple[datetime, int]]) -> float | None:
    if len(commits) < 2:
        return None
    seconds = (commits[-1][0] - commits[0][0]).total_seconds()
    return sum(rows for _, rows in commits[1:]) / seconds if seconds > 0 else None


def _told(done: subprocess.CompletedProcess[str]) -> str:
    try:
        report: Mapping[str, Any] = json.loads(done.stdout)
        [table] = report["tables"]
        return f"{table['source_rows']:,} rows, {table['verdict']}"
    except (ValueError, KeyError, TypeError):
        return (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1][:200]


def as_json(checks: Sequence[Check]) -> dict[str, Any]:
    """The report: when, and each check."""
    return {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "passed": bool(checks) and all(check.passed for check in checks),
        "checks": [check.__dict__ for check in checks],
    }


def run(table: Table, policy: Policy, console: Console) -> list[Check]:
    """The whole run; writes its report to logs/acceptance.json. Returns every check."""
    acceptance = Acceptance(table, policy, console)
    try:
        checks = acceptance.execute()
    finally:
        if acceptance.checks:
            path = acceptance.main_root / "logs" / "acceptance.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(as_json(acceptance.checks), indent=2) + "\n", encoding="utf-8")
    passed = sum(check.passed for check in checks)
    console.print(f"{passed} of {len(checks)} checks passed; report: logs/acceptance.json")
    return checks
