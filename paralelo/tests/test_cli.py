"""What an operator may mistype or lack: one line that says so, the exit code that goes with it, and no traceback."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sync_rules.exits import Exit, SourceUnreachable

from paralelo import history, jobs, project, status
from paralelo.cli import accept, monitor, plan, recover, run, units
from paralelo.cli import history as shown
from paralelo.cli.options import guarded
from paralelo.history import Record
from paralelo.status import TableStatus

from .conftest import Toy

FULL = "parallel-full-sync-toy"


@pytest.fixture
def here(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The commands at work in the toy project, from another folder, with its settings in the environment."""
    (toy.root / "ops").symlink_to(project.root() / "ops")
    monkeypatch.setattr(project, "root", lambda: toy.root)
    monkeypatch.chdir("/")
    for name in ("TARGET_POSTGRES_SSL_MODE", "MELTANO_ENVIRONMENT", "PARALELO_STALL", "PARALELO_MAX_RESTARTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in toy.env.items():
        monkeypatch.setenv(name, value)
    return toy


@pytest.mark.parametrize(
    ("main", "words", "told"),
    [
        (run.main, "full toy", "required: parallel"),
        (run.main, "full toy perhaps", "true"),
        (run.main, "bulk toy true", "incremental"),
        (run.main, "full nosuch true", "known: toy"),
        (run.main, "incremental toy true", "no incremental job"),
        (run.main, "full toy true --jobs 0", "--jobs"),
        (run.main, "full toy false --jobs 2", "--jobs"),
        (run.main, "full toy true --stall nan", "--stall"),
        (recover.main, f"full toy {FULL} --dry-run --stall inf", "--stall"),
        (run.main, "full toy true --restart-delay -1", "--restart-delay"),
        (run.main, "full toy true --metrics-port 70000", "70000"),
        (recover.main, "full all x", "one table"),
        (recover.main, "full toy parallel-full-sync-other", FULL),
        (recover.main, "check_recovery nosuch", "known: toy"),
        (monitor.main, "--run ../..", "no run"),
        (monitor.main, "--interval 0", "--interval"),
        (monitor.main, "--interval nan", "--interval"),
        (monitor.main, "--interval inf", "--interval"),
        (monitor.main, "--once --port 70000", "70000"),
        (shown.main, "nosuch", "known: toy"),
        (shown.main, "--limit 0", "--limit"),
        (shown.main, "--limit 99999999999999999999999", "--limit"),
        (plan.main, "toy --probe nan", "--probe"),
        (plan.main, "toy --probe inf", "--probe"),
        (shown.main, "--mode bulk", "incremental"),
        (units.main, "--cron --to x", "--to"),
        (units.main, "--to /proc/nowhere", "/proc/nowhere"),
        (accept.main, "--table all", "one table"),
    ],
)
def test_a_slip_is_told_in_words_and_is_exit_2(
    here: Toy, capsys: pytest.CaptureFixture[str], main: Callable[[list[str]], int], words: str, told: str
) -> None:
    try:
        code = main(words.split())
    except SystemExit as ended:
        code = int(ended.code or 0)
    said = capsys.readouterr()
    assert code == Exit.CONFIGURATION
    assert told in said.err
    assert "Traceback" not in said.err


def test_a_schedules_run_takes_what_its_env_sets_from_the_project(
    here: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    with (here.root / "meltano.yml").open("a") as file:
        file.write(f"schedules: [{{name: nightly x, interval: '@daily', job: {FULL}, env: {{PARALELO_STALL: 77}}}}]\n")
    words = ["full", "toy", FULL, "--dry-run", "--json", "--schedule"]
    assert recover.main([*words, "nightly x"]) == Exit.FINISHED
    assert json.loads(capsys.readouterr().out)["policy"]["stall"] == 77
    assert recover.main([*words, "gone"]) == Exit.CONFIGURATION
    assert "no schedule gone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (recover.main, "check_recovery --json"),
        (recover.main, f"full toy {FULL} --dry-run --json"),
        (monitor.main, "--once --json"),
        (shown.main, "--json"),
        (accept.main, "--table toy --json"),
    ],
)
def test_an_unreachable_target_is_exit_4_and_missing_settings_exit_2(
    here: Toy,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    main: Callable[[list[str]], int],
    words: str,
) -> None:
    if main is accept.main:
        (here.root / ".meltano" / "extractors").mkdir(parents=True)
        (here.root / ".meltano" / "loaders").mkdir(parents=True)
        (here.root / "load").mkdir()
    monkeypatch.setenv("TARGET_POSTGRES_PORT", "1")
    assert main(words.split()) == Exit.TARGET_UNREACHABLE
    said = capsys.readouterr()
    assert len([line for line in said.err.splitlines() if "cannot be reached" in line]) == 1
    if said.out:
        json.loads(said.out)
    monkeypatch.delenv("TARGET_POSTGRES_DATABASE")
    assert main(words.split()) == Exit.CONFIGURATION
    assert "TARGET_POSTGRES_DATABASE" in capsys.readouterr().err


def test_a_run_whose_target_is_away_is_supervised_and_settings_that_are_missing_end_it_at_once(
    here: Toy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["full", "toy", "true", "--json", "--max-restarts", "1", "--restart-delay", "0.1"]
    monkeypatch.setenv("TARGET_POSTGRES_PORT", "1")
    assert run.main(words) == Exit.TARGET_UNREACHABLE
    report = json.loads(capsys.readouterr().out)
    assert [attempt["exit"] for attempt in report["tables"][0]["attempts"]] == [Exit.TARGET_UNREACHABLE] * 2
    monkeypatch.delenv("TARGET_POSTGRES_DATABASE")
    assert run.main(words) == Exit.CONFIGURATION
    assert "TARGET_POSTGRES_DATABASE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("PASSWORD", "wrong", "check user, password and database"), ("SSL_MODE", "perhaps", 'invalid sslmode value'),
     ("SSL_MODE", "require", "does not support SSL"), ("PORT", "0", "invalid port"), ("PORT", "x", "invalid integer"),
     ("DATABASE", "nosuch", "check user, password and database")],
)  # fmt: skip
def test_a_target_that_refuses_us_is_a_setting_to_mend(
    here: Toy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"TARGET_POSTGRES_{name}", value)
    assert recover.main(["check_recovery"]) == Exit.CONFIGURATION
    assert re.search(f"^PostgreSQL at [^:]+:.*, database .*{said}", capsys.readouterr().err, re.MULTILINE)


@pytest.mark.parametrize(("main", "words"), [(run.main, "full toy true"), (recover.main, f"full toy {FULL}")])
@pytest.mark.parametrize(
    ("name", "value", "reported"),
    [("TARGET_POSTGRES_PASSWORD", "a-planted-wr0ng-one", True), ("TARGET_POSTGRES_DATABASE", "nosuch", True),
     ("PARALELO_STALL", "x", False), ("PARALELO_MEMORY_LIMIT_MB", "x", False)],
)  # fmt: skip
def test_settings_that_end_a_run_before_it_begins_are_told_in_a_notice_and_a_report(
    here: Toy, webhook: tuple[str, list[dict[str, str]]], monkeypatch: pytest.MonkeyPatch,
    main: Callable[[list[str]], int], words: str, name: str, value: str, reported: bool,
) -> None:  # fmt: skip
    pytest.importorskip("apprise")
    url, received = webhook
    monkeypatch.setenv("PARALELO_NOTIFY_URLS", url)
    monkeypatch.setenv(name, value)
    assert main(words.split()) == Exit.CONFIGURATION
    [notice] = received
    assert notice["title"] == "Paralelo: full sync of toy failed"
    assert notice["message"].endswith("(exit 2), before the first attempt.")
    assert "planted" not in notice["message"]
    reports = [json.loads(path.read_text()) for path in here.root.glob("logs/*/report.json")]
    assert [(one["exit_code"], one["tables"][0]["outcome"]) for one in reports] == [(2, "failed")] * reported


def test_a_dry_run_and_a_failure_that_nobody_wants_to_hear_of_send_no_notice(
    here: Toy, webhook: tuple[str, list[dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, received = webhook
    monkeypatch.setenv("PARALELO_NOTIFY_URLS", url)
    monkeypatch.setenv("PARALELO_STALL", "x")
    assert recover.main(["full", "toy", FULL, "--dry-run"]) == Exit.CONFIGURATION
    monkeypatch.setenv("PARALELO_NOTIFY_ON", "success")
    assert run.main(["full", "toy", "true"]) == Exit.CONFIGURATION
    assert received == []


@pytest.mark.parametrize(
    ("main", "words"),
    [(run.main, "full toy true"), (recover.main, "check_recovery"), (units.main, "--cron"), (accept.main, "")],
)
def test_a_folder_that_is_no_meltano_project(
    here: Toy, capsys: pytest.CaptureFixture[str], main: Callable[[list[str]], int], words: str
) -> None:
    (here.root / "meltano.yml").unlink()
    assert main([*words.split(), *(["--table", "toy"] if main is accept.main else [])]) == Exit.CONFIGURATION
    assert "no meltano.yml" in capsys.readouterr().err


def test_no_meltano_is_a_setting_to_mend(
    here: Toy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(jobs.sys, "executable", str(tmp_path / "python"))  # type: ignore[attr-defined]
    assert run.main(["full", "toy", "true"]) == Exit.CONFIGURATION
    assert "make setup" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SourceUnreachable("login as reader with pl4nted-Passw0rd/of+the=tap failed"), Exit.SOURCE_UNREACHABLE),
        (psycopg.errors.InsufficientPrivilege("no right"), Exit.CONFIGURATION),
        (psycopg.OperationalError("gone"), Exit.TARGET_UNREACHABLE),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 0),
    ],
)
def test_an_error_is_a_line_without_secrets_and_an_exit_code(
    here: Toy, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    def fail() -> int:
        raise error

    assert guarded(fail) == code
    assert "pl4nted" not in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(here: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert monitor.main(["--once", "--port", str(port)]) == Exit.CONFIGURATION
    assert f"port {port}" in capsys.readouterr().err


def test_history_of_runs_that_never_reached_the_target_and_of_one_whose_supervisor_died(
    here: Toy, db: psycopg.Connection[tuple[object, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    record = Record("r1", "toy", "public", "toy", "full", FULL, "dev", "here")
    assert history.write("begin", record, here.env) is None
    db.execute("DROP TABLE paralelo.batch, paralelo.sync CASCADE")
    folder = here.root / "logs" / "r1"
    folder.mkdir(parents=True)
    (folder / "status.json").write_text('{"run": "r1", "pid": 1, "pid_began": -60, "tables": []}')
    assert shown.main(["--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row["outcome"], row["reason"]) == ("failed", history.DIED)
    history.bury(["r1"], here.env)
    kept = db.execute("SELECT outcome, exit FROM paralelo.run").fetchall()
    assert kept == [("failed", 1)]


def test_a_role_that_may_no_longer_create_schemas_keeps_history(
    here: Toy, db: psycopg.Connection[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/security.md: it may create in the database once, for the schema of the ledger."""
    db.execute("CREATE ROLE loader LOGIN PASSWORD 'loader'")
    db.execute(
        "GRANT USAGE, CREATE ON SCHEMA paralelo TO loader; GRANT SELECT ON ALL TABLES IN SCHEMA paralelo TO loader"
    )
    for name in ("USER", "PASSWORD"):
        monkeypatch.setenv(f"TARGET_POSTGRES_{name}", "loader")
    assert shown.main([]) == 0
    assert history.write("begin", Record("r1", "toy", "public", "toy", "full", FULL, "dev", "here")) is None


def test_a_schedule_that_overlaps_is_refused_in_one_line_and_leaves_no_trace(
    here: Toy, db: psycopg.Connection[tuple[object, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    """SPEC O1. By the lock in the target, whoever holds it; by a run that pauses and holds nothing."""
    words = ["full", "toy", FULL]
    db.execute("SELECT pg_advisory_lock(hashtextextended('paralelo:public.toy', 0))")
    assert recover.main(words) == Exit.ALREADY_RUNNING
    db.execute("SELECT pg_advisory_unlock_all()")
    [line] = capsys.readouterr().err.splitlines()
    assert "lock in the target is held" in line
    status.write(here.root / "logs" / "r1", "r1", (TableStatus("toy", "incremental", "pausing", 2),))
    assert recover.main(words) == Exit.ALREADY_RUNNING
    said = capsys.readouterr()
    assert said.err.splitlines() == ["toy is already running: run r1 has its incremental sync (pausing)"]
    assert said.out == ""
    assert [path.name for path in (here.root / "logs").iterdir()] == ["r1"]
    assert db.execute("SELECT to_regclass('paralelo.run')").fetchone() == (None,)


def test_a_monitor_whose_logs_folder_cannot_be_written_still_shows(
    here: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    (here.root / "logs").write_text("a file in the folder's place")
    assert monitor.main(["--once"]) == 0
    said = capsys.readouterr()
    assert "toy" in said.out
    assert said.err.count("cannot be written") == 1


@pytest.mark.parametrize("setting", ["datestyle = 'SQL, DMY'", "client_encoding = 'SQL_ASCII'"])
def test_a_target_that_writes_its_own_way_is_read(
    here: Toy, capsys: pytest.CaptureFixture[str], db: psycopg.Connection[Any], setting: str
) -> None:
    values = {"table_schema": "public", "table_name": "toy", "mode": "full", "job": FULL}
    history.write("begin", Record("r1", "toy", environment="dev", host="here", **values), here.env)  # type: ignore[arg-type]
    db.execute(f"ALTER DATABASE {db.info.dbname} SET {setting}")
    assert shown.main([]) == 0
    assert monitor.main(["--once"]) == 0
    assert "Traceback" not in capsys.readouterr().err
