"""Whole runs: a real Meltano, real processes, a real ledger; only tap and target are toys. # SPEC F4, O1, O2, O3"""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from rich.console import Console
from sync_rules.exits import Exit

from paralelo import history, jobs, leftovers, progress, runlock, systemdb, usage
from paralelo.policy import Policy
from paralelo.project import Mode
from paralelo.report import Report, grid
from paralelo.run import Run, default_at_once
from paralelo.run import run as run_and_tell
from paralelo.runlog import KEEP_LOGS, RunLog, lines
from paralelo.track import Plan
from paralelo.watch import Watched, watch

from .conftest import PASSWORD, Toy

QUICK = Policy(delay=0.1, jitter=0, stall=120.0, start_stall=300.0, grace=3.0)
IMPATIENT = replace(QUICK, stall=5.0)
ROW = "Failing row contains (4711, PLANTED-ROW-VALUE)."


def run(toy: Toy, policy: Policy = QUICK, **words: object) -> tuple[Report, str]:
    output = io.StringIO()
    console = Console(file=output, width=110)
    plan = Plan("full", (toy.table,), 1, policy, toy.told(**words), toy.root)
    found = Run(plan, console).execute()
    console.print(grid(found))
    return found, output.getvalue()


def meanwhile(toy: Toy, db: psycopg.Connection[Any], batches: int, act: Callable[[], None]) -> threading.Thread:
    """Do something once that many batches are committed."""

    def wait() -> None:
        with progress.connect(toy.env) as connection:
            for _ in range(2_400):
                row = connection.execute("SELECT count(*) AS n FROM paralelo.batch").fetchone()
                if row and row["n"] >= batches:
                    act()
                    return
                threading.Event().wait(0.05)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def kill(toy: Toy, word: str, signum: int) -> None:
    for process in runlock.processes_of(toy.table, "full", toy.root):
        group = usage.members([os.getpgid(process.pid)])
        for member in group:
            if any(Path(part).name.startswith(word) for part in member.cmdline()[:2]):
                os.kill(member.pid, signum)
                return


@pytest.fixture
def late_signals() -> Iterator[list[int]]:
    """SIGTERM that came when no run listened: it fails the test that asks, instead of ending all of them."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda signum, _: heard.append(signum))
    yield heard
    signal.signal(signal.SIGTERM, before)


def test_a_run_ends_with_counts_a_report_history_and_metrics(toy: Toy) -> None:
    found, output = run(toy, pages=4)
    assert found.exit_code == 0
    [part] = found.tables
    assert (part.read, part.written, part.outcome, len(part.attempts)) == (400, 400, "finished", 1)
    assert "finished  400" in output
    written = json.loads((Path(found.logs) / "report.json").read_text())
    assert written["tables"][0]["read"] == 400
    assert written["exit_code"] == 0
    with progress.connect(toy.env) as connection:
        [kept] = history.listed(connection)
    assert (kept["name"], kept["outcome"], kept["rows_read"], kept["attempts"]) == ("toy", "finished", 400, 1)
    assert "paralelo_rows_committed" in (toy.root / "logs" / "paralelo.prom").read_text()
    assert (toy.root / "logs" / "metrics.jsonl").exists()
    log = list(lines(Path(found.logs) / "toy-full.jsonl"))
    assert all({"run", "table", "mode", "job"} <= line.keys() for line in log)
    assert {"tap-toy", "meltano", "paralelo"} >= {str(line["source"]) for line in log if line["source"] != "output"}


def test_a_run_clears_what_dead_ones_left_and_leaves_nothing_elsewhere(toy: Toy, tmp_path: Path) -> None:
    logs, before = toy.root / "logs", [f"20200101-000000-{number:04d}" for number in range(KEEP_LOGS + 5)]
    for name in before:
        (logs / name).mkdir(parents=True)
    dead = before[-1]
    (logs / dead / "status.json").write_text(json.dumps({"run": dead, "pid": 1, "pid_began": -60, "tables": []}))
    record = history.Record(dead, "toy", "public", "toy", "full", "parallel-full-sync-toy", "dev", "here")
    assert history.write("begin", record, toy.env) is None
    settings = toy.root / ".meltano" / "run" / "tap-other" / "tap.a.config.json"
    settings.parent.mkdir(parents=True)
    settings.write_text("{}")
    os.utime(settings, (0, 0))
    own = replace(toy, env={**toy.env, "XDG_STATE_HOME": str(tmp_path / "state-home")})
    assert run(own, pages=1)[0].exit_code == 0
    assert not settings.exists()
    assert not (tmp_path / "state-home").exists(), "Meltano's own log, which nobody redacts"
    assert len([path for path in logs.iterdir() if path.is_dir()]) == KEEP_LOGS
    with progress.connect(toy.env) as connection:
        found = {row["run"]: row["outcome"] for row in history.listed(connection)}
    assert sorted(found.values()) == ["failed", "finished"]
    assert found[dead] == "failed"


def test_of_several_attempts_in_one_log_each_is_judged_by_its_own_lines(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "a.jsonl", str)
    for attempt, code in ((1, Exit.CONFIGURATION), (2, Exit.SOURCE_UNREACHABLE)):
        log.event("ended", attempt=attempt, exit_codes={"extractors": int(code)})
    with subprocess.Popen(["false"]) as process:
        process.wait(60)
    for attempt, code in ((1, Exit.CONFIGURATION), (2, Exit.SOURCE_UNREACHABLE)):
        assert jobs.RunningJob("j", process, log.path, context={"attempt": attempt}).outcome().exit is code


def test_a_job_of_that_name_in_another_project_is_none_of_ours(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "meltano").symlink_to(shutil.which("tail") or "tail")
    words = [str(tmp_path / "meltano"), "-f", "meltano.yml", "run", toy.table.job("full")]
    (tmp_path / "meltano.yml").touch()
    for folder, own_group, found in ((tmp_path, True, 0), (toy.root, True, 1), (toy.root, False, 0)):
        with running(*words, cwd=folder, start_new_session=own_group, stderr=subprocess.DEVNULL):
            assert len(runlock.processes_of(toy.table, "full", toy.root)) == found


def test_a_tap_that_dies_is_restarted_from_its_bookmark(toy: Toy) -> None:
    found, output = run(toy, pages=4, die_at=3, tap_exit=3)
    [part] = found.tables
    assert [attempt.exit for attempt in part.attempts] == [Exit.SOURCE_UNREACHABLE, Exit.FINISHED]
    assert part.read == 400, "no page twice, none left out"
    assert "attempt 2" in output
    with progress.connect(toy.env) as connection:
        assert history.recoveries(connection) == {("toy", "full", "source_unreachable"): 1}


def test_settings_that_are_wrong_are_not_tried_again(toy: Toy) -> None:
    found, output = run(toy, die_at=1, tap_exit=2)
    assert found.exit_code == Exit.CONFIGURATION
    assert len(found.tables[0].attempts) == 1
    assert "(exit 2)" in output


def test_a_run_that_another_kept_out_has_no_figures(toy: Toy) -> None:
    """What is in the ledger meanwhile, here by the same toy, is the other's."""
    found, output = run(toy, target_exit=int(Exit.ALREADY_RUNNING))
    [part] = found.tables
    assert (part.outcome, part.exit, part.sync_id) == ("failed", Exit.ALREADY_RUNNING, None)
    assert (part.read, part.written, part.committed, part.rows_per_second) == (None, None, None, None)
    assert "failed, 300 rows" not in output
    with progress.connect(toy.env) as connection:
        [kept] = history.listed(connection)
    assert (kept["outcome"], kept["rows_read"], kept["rows_written"]) == ("failed", None, None)


def test_a_killed_meltano_leaves_nothing_behind_and_the_next_attempt_passes_its_lock(
    toy: Toy, db: psycopg.Connection[Any]
) -> None:
    meanwhile(toy, db, 3, lambda: kill(toy, "meltano", signal.SIGKILL))
    found, _ = run(toy, pages=8, seconds=0.6)
    [part] = found.tables
    assert [attempt.exit for attempt in part.attempts] == [Exit.UNEXPECTED, Exit.FINISHED]
    assert part.attempts[0].reason == "Meltano was ended by signal 9"
    assert part.read == 800
    assert list((toy.root / ".meltano" / "run").glob("*/*.config.json")) == []
    assert runlock.processes_of(toy.table, "full", toy.root) == []


def test_a_halted_target_is_a_stall(toy: Toy, db: psycopg.Connection[Any]) -> None:
    meanwhile(toy, db, 2, lambda: kill(toy, "target-toy", signal.SIGSTOP))
    found, output = run(toy, IMPATIENT, pages=40, seconds=0.25)
    [part] = found.tables
    assert part.attempts[0].exit is Exit.STALLED
    assert part.outcome == "finished"
    assert part.read == 4_000
    assert "stalled: nothing was committed for" in output


def test_a_run_that_waits_for_meltanos_database_hears_sigterm(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, late_signals: list[int]
) -> None:
    monkeypatch.setattr(systemdb, "PREPARE_SECONDS", 86_400.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        toy.env["MELTANO_DATABASE_URI"] = f"postgresql+psycopg://u:p@127.0.0.1:{mute.getsockname()[1]}/m"

        def end_it() -> None:
            with mute.accept()[0]:
                os.kill(os.getpid(), signal.SIGTERM)
                threading.Event().wait(5.0)

        threading.Thread(target=end_it, daemon=True).start()
        found, _ = run(toy)
    assert (found.exit_code, late_signals) == (130, [])
    assert [part.outcome for part in found.tables] == ["stopped"]
    assert not any((toy.root.parent / "marks").iterdir()), "no plugin was started"


def test_sigterm_ends_everything_keeps_state_and_the_next_run_goes_on(
    toy: Toy, db: psycopg.Connection[Any], late_signals: list[int]
) -> None:
    meanwhile(toy, db, 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    # A machine at work may take longer than a short grace, and a kill keeps the last page's state from being saved.
    found, _ = run(toy, replace(QUICK, grace=60.0), pages=30, seconds=0.2)
    assert (found.exit_code, late_signals) == (130, [])
    assert runlock.processes_of(toy.table, "full", toy.root) == []
    before = db.execute("SELECT count(*) FROM paralelo.batch").fetchone()
    assert before is not None
    assert before[0] >= 2
    again, _ = run(toy, pages=before[0] + 2)
    assert again.tables[0].outcome == "finished"
    assert again.tables[0].read == 200, "only what was left"
    assert again.tables[0].committed == 100 * (before[0] + 2)


def test_no_secret_and_no_row_value_in_anything_a_run_wrote(toy: Toy, db: psycopg.Connection[Any]) -> None:
    seen: list[str] = []

    def look_at_processes() -> None:
        # Not all there are on the machine: somebody else's may search for these very words.
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                seen.append(" ".join(process.cmdline()))
        seen.append(f"mode {(toy.root / '.meltano' / 'run').stat().st_mode & 0o777:o}")

    watcher = meanwhile(toy, db, 1, look_at_processes)
    found, output = run(toy, pages=30, seconds=0.25, die_at=28, shout=ROW)
    watcher.join(timeout=30)
    assert found.exit_code == 0
    assert any("tap-toy" in line for line in seen)
    assert "mode 700" in seen
    texts = {"terminal": output, "process list": "\n".join(seen)}
    for path in toy.root.rglob("*"):
        if path.is_file():
            texts[str(path.relative_to(toy.root))] = path.read_bytes().decode("utf-8", errors="replace")
    kept = db.execute("SELECT coalesce(jsonb_agg(to_jsonb(r))::text, '') FROM paralelo.run AS r").fetchone()
    assert kept is not None
    texts["history"] = kept[0]
    assert any(name.startswith("state") for name in texts)
    assert "cannot log in with ***" in "".join(texts.values())
    for planted in (PASSWORD, PASSWORD.replace("/", "%2F"), "PLANTED-ROW-VALUE", toy.env["TARGET_POSTGRES_PASSWORD"]):
        assert [name for name, text in texts.items() if planted in text] == []


def test_what_a_run_leaves_for_prometheus_is_true_until_the_next_and_tells_of_every_table(toy: Toy) -> None:
    table = toy.table
    text = (
        (toy.root / "extract" / "toy.meltano.yml").read_text().replace("toy", "other").replace("dbo.toy", "dbo.other")
    )
    (toy.root / "extract" / "other.meltano.yml").write_text(text)
    plan = Plan("full", (table,), 1, QUICK, {**toy.told(pages=2), "PARALELO_MEMORY_LIMIT_MB": "1"}, toy.root)
    assert Run(plan, Console(file=io.StringIO())).execute().exit_code == 0
    left = dict(line.rsplit(" ", 1) for line in (toy.root / "logs" / "paralelo.prom").read_text().splitlines())
    assert left['paralelo_running{mode="full",table="toy"}'] == "0.0"
    assert left['paralelo_rows_committed{mode="full",table="toy"}'] == "200.0"
    assert left['paralelo_alert{kind="memory",table=""}'] == "0.0", "nothing runs, so nothing uses memory"
    assert 'paralelo_last_success_timestamp_seconds{table="toy"}' in left
    assert left['paralelo_running{mode="full",table="other"}'] == "0.0"


def test_what_cannot_be_written_down_ends_no_sync(toy: Toy) -> None:
    """Another user's file, or a full disk: told once."""
    for name in ("metrics.jsonl", "paralelo.prom"):
        (toy.root / "logs" / name / "x").mkdir(parents=True)
    found, shown = run(toy)
    assert found.exit_code == 0
    assert shown.count("cannot be written") == 1


@pytest.mark.parametrize("writable", [True, False])
def test_logs_are_named_where_there_are_any(toy: Toy, writable: bool) -> None:
    if not writable:
        (toy.root / "logs").write_text("a file in their place")
    output = io.StringIO()
    plan = Plan("full", (toy.table,), 1, QUICK, toy.told(pages=1), toy.root)
    assert run_and_tell(plan, Console(file=output, width=110)).exit_code == 0
    assert ("report.json" in output.getvalue(), "cannot be written" in output.getvalue()) == (writable, not writable)


def test_a_run_under_nohup_outlives_its_terminal(toy: Toy, db: psycopg.Connection[Any]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        hung_up = meanwhile(toy, db, 2, lambda: os.kill(os.getpid(), signal.SIGHUP))
        found, _ = run(toy, pages=6, seconds=0.2)
    finally:
        signal.signal(signal.SIGHUP, before)
    hung_up.join()
    assert found.exit_code == 0


class Gone(io.StringIO):
    """A terminal that went away."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


def test_a_terminal_that_goes_ends_no_sync(toy: Toy) -> None:
    plan = Plan("full", (toy.table,), 1, QUICK, toy.told(), toy.root)
    assert Run(plan, Console(file=Gone(), width=110)).execute().exit_code == 0


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), UnicodeEncodeError("ascii", "é", 0, 1, "x")])
def test_an_output_that_cannot_be_written_ends_no_sync(toy: Toy, error: Exception, tmp_path: Path) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    plan = Plan("full", (toy.table,), 1, QUICK, toy.told(), toy.root)
    found = run_and_tell(plan, Console(file=Full(), width=110))
    assert found.exit_code == 0
    assert (Path(found.logs) / "report.json").exists()


def test_how_it_ended_is_told_where_no_log_can_be_written(toy: Toy) -> None:
    (toy.root / "logs").write_text("a file in the folder's place")
    found, output = run(toy, replace(QUICK, max_restarts=0), die_at=1, tap_exit=3, shout="the source is away")
    assert found.exit_code == Exit.SOURCE_UNREACHABLE
    assert found.tables[0].reason == "the source is away"
    assert "cannot be written" in output


@pytest.mark.parametrize("command", ["run", "recover"])
def test_a_reader_that_has_seen_enough_ends_no_sync(toy: Toy, command: str) -> None:
    """`| head`: what nobody reads is printed to nobody, and the sync goes on to its report."""
    words = {"run": ["full", "toy", "false"], "recover": ["full", "toy", "parallel-full-sync-toy"]}[command]
    code = "import sys; from pathlib import Path; from paralelo import project;"
    code += (
        f"project.root = lambda: Path({str(toy.root)!r}); from paralelo.cli import {command} as c; sys.exit(c.main())"
    )
    how = {"env": {**os.environ, **toy.told(pages=4, seconds=0.3), "PYTHONUNBUFFERED": "1"}}
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how
    ) as ran:
        assert ran.stdout is not None
        ran.stdout.readline()
        ran.stdout.close()
        assert ran.stderr is not None
        said = ran.stderr.read().decode()
    assert (ran.returncode, said) == (0, "")
    [report] = toy.root.glob("logs/*/report.json")
    assert json.loads(report.read_text())["exit_code"] == 0


def test_no_more_tables_run_at_once_than_were_asked_for(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[jobs.RunningJob] = []
    at_once: list[int] = []

    def start(job: str, log: Path, *_: object, **__: object) -> jobs.RunningJob:
        at_once.append(1 + sum(not one.done for one in started))
        started.append(jobs.RunningJob(job, subprocess.Popen(["sleep", "0.3"], start_new_session=True), log))
        return started[-1]

    monkeypatch.setattr(jobs, "start", start)
    tables = tuple(replace(toy.table, name=f"t{number}", target=f"t{number}") for number in range(5))
    found = Run(Plan("full", tables, 2, QUICK, toy.env, toy.root), Console(file=io.StringIO())).execute()
    assert [part.outcome for part in found.tables] == ["finished"] * 5
    assert max(at_once) == 2
    assert len(started) == 5


@pytest.mark.parametrize(
    ("mode", "tables", "cores", "expected"),
    [("full", 8, 16, 2), ("full", 8, 1, 1), ("full", 1, 16, 1), ("incremental", 8, 16, 4), ("incremental", 8, 3, 3)],
)
def test_by_default_as_many_as_cores_and_the_sources_connections_allow(
    mode: Mode, tables: int, cores: int, expected: int
) -> None:
    assert default_at_once(mode, tables, cores) == expected


def test_a_job_that_is_only_watched(toy: Toy) -> None:
    job = jobs.start("parallel-full-sync-toy", toy.root / "logs" / "x.jsonl", toy.told(pages=3), root=toy.root)
    output = io.StringIO()
    found = watch([Watched(toy.table, "full", job)], toy.env, console=Console(file=output, width=110), every=0.2)
    assert job.process.returncode == 0
    counts = found["toy"]
    assert counts is not None
    assert (counts.committed, counts.status) == (300, "activated")
    assert "toy: done, 300 rows of 300 (100%)" in output.getvalue()


def test_a_job_in_an_environment_without_a_path(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")
    job = jobs.start("parallel-full-sync-toy", toy.root / "logs" / "x.jsonl", toy.told(pages=1), root=toy.root)
    job.process.wait(120)
    assert job.outcome().ok, job.last_words()


def test_an_unreachable_target_makes_the_view_poorer_and_breaks_nothing(toy: Toy) -> None:
    away = {**toy.told(pages=2), "TARGET_POSTGRES_PORT": "1"}
    job = jobs.start("parallel-full-sync-toy", toy.root / "logs" / "x.jsonl", away, root=toy.root)
    output = io.StringIO()
    found = watch([Watched(toy.table, "full", job)], away, console=Console(file=output, width=110), every=0.2)
    assert found["toy"] is None
    assert "cannot be reached" in output.getvalue()


@contextmanager
def running(*command: str, **how: Any) -> Iterator[None]:
    """A program, gone after the block whatever happens in it. Its command line may not be shown yet."""
    with psutil.Popen(command, **how) as process:
        try:
            yield
        finally:
            process.kill()


def test_settings_files_of_the_dead_are_removed_and_those_of_the_living_kept(toy: Toy) -> None:
    folder = toy.root / ".meltano" / "run" / "tap-toy"
    folder.mkdir(parents=True)
    dead, living = folder / "tap.a.config.json", folder / "tap.b.config.json"
    for path in (dead, living):
        path.write_text("{}")
    with running("tail", "-f", str(living)):
        assert leftovers.remove(toy.root) == [], "so young that their plugin may be about to start"
        assert leftovers.remove(toy.root, plugins=frozenset({"tap-other"}), young_seconds=0) == []
        assert leftovers.remove(toy.root, young_seconds=0) == [dead]
    meltano = toy.root / "meltano"
    meltano.symlink_to(shutil.which("tail") or "tail")
    with running(str(meltano), "-f", str(toy.root / "meltano.yml"), cwd=toy.root):
        assert leftovers.remove(toy.root, young_seconds=0) == [], "a Meltano that has yet to start the plugin"
    assert leftovers.remove(toy.root, young_seconds=0) == [living]


def test_several_runs_that_find_no_system_database_make_it_once(toy: Toy) -> None:
    made: list[bool] = []

    def prepare() -> None:
        made.append(systemdb.prepare(toy.root, toy.env))

    threads = [threading.Thread(target=prepare) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [True, True, True]
    assert (toy.root / ".meltano" / "meltano.db").exists()
    away = {**toy.env, "MELTANO_DATABASE_URI": "nonsense:///"}
    assert not systemdb.prepare(toy.root, away), "what cannot be had is not remembered as ready"
    assert not systemdb.prepare(toy.root, away)


@pytest.mark.parametrize("held", [True, False])
def test_a_lock_in_the_target_speaks_against_passing(toy: Toy, held: bool) -> None:
    from target_postgres.catalog import TableName
    from target_postgres.lock import Locks
    from target_postgres.settings import Settings

    settings = Settings(
        host=toy.env["TARGET_POSTGRES_HOST"],
        port=int(toy.env["TARGET_POSTGRES_PORT"]),
        user=toy.env["TARGET_POSTGRES_USER"],
        password=toy.env["TARGET_POSTGRES_PASSWORD"],
        database=toy.env["TARGET_POSTGRES_DATABASE"],
        ssl_mode="disable",
    )
    locks = Locks(settings)
    if held:
        locks.take(TableName("public", "toy"), "full")
    proof = runlock.prove_gone(toy.table, "full", toy.root, toy.env)
    locks.close()
    assert proof.gone is not held
    if held:
        assert "full public.toy" in proof.why_not


def test_what_cannot_be_asked_counts_as_living(toy: Toy) -> None:
    assert not runlock.prove_gone(toy.table, "full", toy.root, {**toy.env, "TARGET_POSTGRES_PORT": "1"}).gone
