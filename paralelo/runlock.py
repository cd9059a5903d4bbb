"""Meltano's run lock, and the proof that may override it.

Meltano holds a run of the same state id for running until its heartbeat is five minutes old. After SIGKILL nobody
clears that. Here it is cleared, but only once it is proven that the run is dead: no process of the job on this machine,
nobody, on any machine, holds the table's lock in the target, and its heartbeat, which comes every second, has ceased: a
run on another machine takes its lock only when its first rows are there. Then the next attempt passes the lock with
`--force`, and the dead run is marked as failed in Meltano's own database, as Meltano itself would five minutes later:
`--force` alone would leave the next schedule in front of the same lock.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil
import psycopg
from sqlalchemy.exc import SQLAlchemyError
from sync_rules.exits import SyncError

from paralelo import deadline, progress, project, status, systemdb, usage
from paralelo.project import MODES, Mode, Table
from paralelo.queries import query
from paralelo.snapshot import ENDED

QUIET_SECONDS = 15.0
"""A run that gave no sign for as long is dead, or so nearly that it will find its lock taken."""


@dataclass(frozen=True)
class Holder:
    """Who has a table's lock in the target: the connection names itself by mode and table."""

    application: str
    backend: int
    since: datetime

    def __str__(self) -> str:
        return f"{self.application!r} (backend {self.backend}) since {self.since:%Y-%m-%d %H:%M:%S %Z}"


@dataclass(frozen=True)
class Proof:
    """Whether an earlier run is gone; `why_not` says what speaks against it, `ask_again` in how many seconds that alone
    might be otherwise. `dead` are the ids of runs whose heartbeat has ceased though it seems young."""

    gone: bool
    why_not: str = ""
    ask_again: float = 0.0
    dead: frozenset[str] = frozenset()


def prove_gone(
    table: Table,
    mode: Mode,
    root: Path,
    env: Mapping[str, str] | None = None,
    ours: Iterable[str] = (),
    ages: MutableMapping[str, float] | None = None,
) -> Proof:
    """Whether no run of this table and mode lives anywhere. What cannot be found out counts as living.

    `ours` are ids of runs that the caller has seen end: their last heartbeat may be young. `ages` keeps from one asking
    to the next how old each heartbeat was: one that lies in the future, since the clock was put back, tells by that
    alone that it has ceased.
    """
    living = processes_of(table, mode, root)
    if living:
        return Proof(False, named([process.pid for process in living], "of it is alive", "of it are alive"))
    try:
        found = progress.ask(lambda asked: holder(asked, progress.default_schema(env), table.target), env)
    except (SyncError, psycopg.Error) as error:
        return Proof(False, f"the target cannot be asked who holds the table's lock: {error}")
    if found:
        return Proof(False, f"its lock in the target is held by {found}")
    return _prove_silent(table, mode, root, env, {systemdb.plain(run) for run in ours}, {} if ages is None else ages)


def _prove_silent(
    table: Table,
    mode: Mode,
    root: Path,
    env: Mapping[str, str] | None,
    ours: set[str],
    ages: MutableMapping[str, float],
) -> Proof:
    settings = progress.settings(env, root)
    state_id = table.state_id(mode, project.environment(settings, root))
    asked = deadline.begin(lambda: systemdb.heartbeats(state_id, root, settings))
    try:
        beats = deadline.end(asked, deadline.SECONDS, lambda: TimeoutError("it did not answer"))
    except (SQLAlchemyError, ImportError, OSError, TimeoutError) as error:
        return Proof(False, f"Meltano's database cannot be asked who runs: {type(error).__name__}")
    silent = {run for run, age in beats.items() if max(age, age - ages.setdefault(run, age)) >= QUIET_SECONDS}
    youngest = min((age for run, age in beats.items() if run not in ours | silent), default=None)
    if youngest is None:
        return Proof(True, dead=frozenset(run for run in silent if beats[run] < QUIET_SECONDS))
    why = f"Meltano heard of a run of it {max(0.0, youngest):.0f} seconds ago, on this machine or another"
    return Proof(False, why, ask_again=QUIET_SECONDS)


def running(table: Table, root: Path, logs: Path, env: Mapping[str, str] | None = None) -> str:
    """Who runs this table in either mode, or is about to; "" if nobody, or if nobody can be asked.

    A first look that costs no start of Meltano. It decides nothing: the locks do.
    """
    try:
        if found := progress.ask(lambda asked: holder(asked, progress.default_schema(env), table.target), env):
            return f"its lock in the target is held by {found}"
    except (SyncError, psycopg.Error):
        # Whoever goes on will say so better.
        return ""
    for run in status.alive(logs):
        for entry in run.tables:
            if entry.table == table.name and entry.phase not in ENDED:
                return f"run {run.run} has its {entry.mode} sync ({entry.phase})"
    for mode in MODES:
        if mode in table.jobs and (living := processes_of(table, mode, root)):
            pids = [process.pid for process in living]
            return named(pids, f"runs its {mode} sync", f"run its {mode} sync")
    return ""


def holder(connection: progress.Connection, schema: str, table: str) -> Holder | None:
    """Who holds the table's lock in the target."""
    row = connection.execute(query("locks.holder"), {"name": f"paralelo:{schema}.{table}"}).fetchone()
    return None if row is None else Holder(row["application_name"], row["pid"], row["since"])


def named(pids: Sequence[int], one: str, several: str) -> str:
    """`process 41 is alive`, `processes 41, 42 are alive`: what they do, in the singular and in the plural."""
    if len(pids) == 1:
        return f"process {pids[0]} {one}"
    return f"processes {', '.join(str(pid) for pid in pids)} {several}"


def processes_of(
    table: Table, mode: Mode, root: Path, seen: Iterable[usage.Seen] | None = None
) -> list[psutil.Process]:
    """Living processes of this table's job, whoever started them: its `meltano run`, and plugins with its settings.

    A loader is shared by all tables: it is told apart by its process group, which Meltano and its plugins share.
    `seen` saves a monitor that asks for many tables a look at all processes for each.
    """
    ours = os.getpgid(0)
    job, extractor = table.jobs.get(mode, ""), table.extractors.get(mode, "")
    settings = f"{root}{os.sep}.meltano{os.sep}run{os.sep}{extractor}{os.sep}"
    found = []
    for one in usage.Census().look() if seen is None else seen:
        process, words = one.process, one.words
        try:
            if one.group == ours or not (
                any(word.startswith(settings) for word in words) or _runs(process, words, job, extractor, root)
            ):
                continue
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def groups_of(table: Table, mode: Mode, root: Path) -> set[int]:
    """The process groups of `processes_of`."""
    found = set()
    for process in processes_of(table, mode, root):
        with suppress(ProcessLookupError):
            found.add(os.getpgid(process.pid))
    return found


def _runs(process: psutil.Process, words: Iterable[str], job: str, extractor: str, root: Path) -> bool:
    rest = list(words)
    if not any(Path(word).name == "meltano" for word in rest[:3]) or not {"run", "elt", "el"} & set(rest):
        return False
    return (job in rest or extractor in rest) and Path(process.cwd()) == root


def release(
    state_id: str, before: datetime, root: Path, env: Mapping[str, str] | None = None, ours: Iterable[str] = ()
) -> subprocess.Popen[bytes]:
    """Begin to mark the runs of this state id that started before then as failed, and those of `ours`, which are known
    to be dead. Only after `prove_gone`.

    Runs in a process of its own, for it needs all of Meltano, which takes seconds to load.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "paralelo.runlock", state_id, before.isoformat(), *ours],
        cwd=root,
        env={**os.environ, **(env or {}), "MELTANO_CLI_LOG_LEVEL": "error"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _release_here(state_id: str, before: datetime, ours: Iterable[str]) -> int:
    from meltano.core.db import project_engine
    from meltano.core.job.finder import JobFinder
    from meltano.core.project import Project

    seen_ended = {systemdb.plain(run) for run in ours}
    _, make_session = project_engine(Project.find())
    with make_session() as session:
        # Locked while it is judged: since the proof, one may have begun on another machine.
        for run in JobFinder(state_id).running(session).with_for_update():
            beat = run.last_heartbeat_at or run.started_at
            silent = (systemdb.now(session.connection()) - beat.replace(tzinfo=None)).total_seconds()
            if systemdb.plain(run.run_id) in seen_ended or (run.started_at < before and silent >= QUIET_SECONDS):
                run.fail("Its processes were proven gone; paralelo cleared the run lock.")
        session.commit()
    return 0


if __name__ == "__main__":
    sys.exit(_release_here(sys.argv[1], datetime.fromisoformat(sys.argv[2]), sys.argv[3:]))
