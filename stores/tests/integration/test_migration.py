"""The migration of the generated stores, as it is run: dry, once, twice, killed, verified, rolled back."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sync_rules.exits import Exit

from stores.migration.files import find
from stores.migration.landing import LandingFailed, land
from stores.samples.generate import FILES, generate
from stores.settings import DatabaseSettings
from stores.tests.migrating import SCRIPT, migrate
from stores.tests.waiting import run_while_held, wait

SMALL = 60
pytestmark = pytest.mark.usefixtures("empty")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ten files."""
    path = tmp_path_factory.mktemp("old")
    generate(path, rows=SMALL)
    return path


def contents(db: psycopg.Connection[Any]) -> dict[str, Any]:
    """Every row of every table that a migration writes for good."""
    tables = db.execute(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN"
        " ('tws', 'context', 'audit', 'analytics', 'learning', 'metrics', 'archive') ORDER BY 1"
    ).fetchall()
    return {
        name: db.execute(f"SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {name} AS t").fetchone()
        for (name,) in tables
    }


def totals(output: str) -> list[int]:
    """The last line of the account: rows, mapped, archived, rejected, noted, new."""
    line = next(line for line in output.splitlines() if line.startswith("all "))
    assert line.endswith("yes")
    return [int(number) for number in re.findall(r"\d+", line)]


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    db: psycopg.Connection[Any], command_environment: dict[str, str], folder: Path
) -> None:
    before = contents(db)
    (folder / "notes.db").write_text("no database at all")
    with closing(sqlite3.connect(folder / "other.sqlite")) as other:
        other.execute("CREATE TABLE unknown (a)")
    done = migrate(command_environment, folder, "--dry-run")
    (folder / "notes.db").unlink()
    (folder / "other.sqlite").unlink()
    assert done.returncode == 2, "a file that cannot be read may be a store: that is no success"
    assert "notes.db" in done.stderr
    for layout in FILES:
        assert layout in done.stdout
    assert re.search(r"notes\.db: no SQLite file", done.stdout)
    assert re.search(r"other\.sqlite: none of the layouts", done.stdout)
    assert "events_fts" in done.stdout
    assert contents(db) == before


def test_every_row_is_accounted_for_and_a_second_run_changes_nothing(
    db: psycopg.Connection[Any], command_environment: dict[str, str], folder: Path
) -> None:
    done = migrate(command_environment, folder)
    assert done.returncode == 0, done.stderr
    rows, mapped, archived, rejected, noted, new = totals(done.stdout)
    assert rows == mapped + archived + rejected == new
    assert min(mapped, archived, rejected, noted) > 0
    source_rows = sum(
        connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
        for path in FILES.values()
        for connection in [sqlite3.connect(folder / path)]
        for (name,) in connection.execute("SELECT name FROM pragma_table_list WHERE type = 'table' AND schema = 'main'")
        if not name.startswith("sqlite_")
    )
    assert rows == source_rows
    _as_they_should_be(db, folder)

    before = contents(db)
    again = migrate(command_environment, folder)
    assert again.returncode == 0, again.stderr
    assert totals(again.stdout) == [rows, mapped, archived, rejected, noted, 0]
    assert contents(db) == before

    verified = migrate(command_environment, folder, "--verify", "--json")
    assert verified.returncode == 0, verified.stderr
    assert " NO" not in verified.stderr
    told = json.loads(verified.stdout)
    assert told["exit_code"] == 0
    assert sum(one["file_rows"] for one in told["comparison"]) == sum(one["rows"] for one in told["plan"]) == rows
    assert all(one["equal"] for one in told["comparison"])
    db.execute("UPDATE tws.tws_job_status SET status = 'CHANGED' WHERE id = (SELECT min(id) FROM tws.tws_job_status)")
    assert migrate(command_environment, folder, "--verify", "--only", "tws_status").returncode == 7


def _as_they_should_be(db: psycopg.Connection[Any], folder: Path) -> None:
    """Some rows, looked at one by one."""
    pair = db.execute(
        "SELECT role, content, ts FROM context.conversations WHERE session_id = 'legacy-2' ORDER BY ts"
    ).fetchall()
    with closing(sqlite3.connect(folder / FILES["context_store"])) as old:
        query, answer = old.execute("SELECT user_query, agent_response FROM conversations WHERE id = 2").fetchone()
    assert [(role, content) for role, content, _ in pair] == [("user", query), ("assistant", answer)]
    with closing(sqlite3.connect(folder / FILES["user_behavior"])) as old:
        session, start = old.execute("SELECT session_id, start_time FROM session_history WHERE id = 5").fetchone()
    found = db.execute(
        "SELECT extract(epoch FROM started_at) FROM analytics.session_history WHERE session_id = %s", [session]
    ).fetchone()
    assert found is not None
    assert abs(float(found[0]) - start) < 1e-6
    broken = db.execute("SELECT count(*) FROM tws.tws_snapshots WHERE snapshot_data ? 'broken_json'").fetchone()
    assert broken is not None
    assert broken[0] > 0
    merged = db.execute(
        "SELECT count, sum_value, avg_value FROM metrics.metric_aggregations ORDER BY period_start LIMIT 1"
    ).fetchone()
    assert merged == (20, 50.0, 2.5)
    history = db.execute(
        "SELECT jsonb_array_length(adjustment_history -> 'changes') FROM learning.learning_thresholds"
        " WHERE threshold_name = 'confidence'"
    ).fetchone()
    assert history is not None
    assert history[0] > 0
    with closing(sqlite3.connect(folder / FILES["active_learning_2"])) as old:
        blobs = old.execute("SELECT query_embedding FROM learned_corrections ORDER BY id").fetchall()
    name = "archive.continual_learning_active_learning__learned_corrections"
    assert db.execute(f"SELECT query_embedding FROM {name} ORDER BY _rowid").fetchall() == blobs
    reasons = {row[0] for row in db.execute("SELECT DISTINCT reason FROM archive.rejected_rows")}
    assert {"its user_id has no profile", "repeats session_id; row 51 is kept", "rating is no integer"} <= reasons


def test_rows_that_came_later_are_added_and_changes_are_told(
    db: psycopg.Connection[Any], command_environment: dict[str, str], tmp_path: Path
) -> None:
    generate(tmp_path, rows=SMALL)
    only = ("--only", "audit_queue")
    assert migrate(command_environment, tmp_path, *only).returncode == 0
    with closing(sqlite3.connect(tmp_path / FILES["audit_queue"])) as old:
        old.execute("INSERT INTO audit_queue (memory_id, status, created_at) VALUES ('new', 'pending', '2026-01-01')")
        old.execute("UPDATE audit_queue SET user_query = 'changed' WHERE id = 2")
        old.commit()
    done = migrate(command_environment, tmp_path, *only)
    assert totals(done.stdout)[-1] == 1
    assert "1 rows changed and 0 went" in done.stdout
    row = db.execute("SELECT count(*) FROM audit.audit_queue WHERE payload ->> 'memory_id' = 'new'").fetchone()
    assert row == (1,)


ODD = {
    "no_log.db": "CREATE TABLE thresholds (name TEXT PRIMARY KEY, current_value REAL, default_value REAL);"
    "INSERT INTO thresholds VALUES ('t', 0.5, 0.5);",
    "no_rowid.db": "CREATE TABLE feedback (id TEXT PRIMARY KEY, query_hash TEXT, doc_id TEXT, rating INTEGER,"
    " timestamp TIMESTAMP) WITHOUT ROWID; INSERT INTO feedback VALUES ('x', 'q', 'd', 5, 1735689600.5);"
    "CREATE TABLE document_scores (doc_id TEXT PRIMARY KEY, n) WITHOUT ROWID;"
    "INSERT INTO document_scores VALUES ('a', 1), ('b', 'two'), ('c', x'00');",
    "upper.db": "CREATE TABLE Conversations (ID INTEGER PRIMARY KEY, User_Query TEXT, Agent_Response TEXT,"
    " Created_At TIMESTAMP DEFAULT CURRENT_TIMESTAMP); INSERT INTO Conversations (User_Query) VALUES ('q');",
    "more.db": "CREATE TABLE job_patterns (pattern_key TEXT PRIMARY KEY, pattern_data TEXT);"
    'CREATE TABLE "a ""b; é" ("x y" TEXT); INSERT INTO "a ""b; é" VALUES (\'v\');'
    "CREATE TABLE taken (rowid TEXT, _rowid_ TEXT, oid TEXT);"
    "INSERT INTO taken VALUES ('a', 'b', 'c'), ('a', 'b', 'c');"
    "CREATE TABLE named (rowid TEXT); INSERT INTO named VALUES ('z'), ('z');",
    "values.db": "CREATE TABLE review_queue (query TEXT, response TEXT, confidence_scores TEXT, created_at TEXT,"
    " reviewed_by TEXT);"
    "INSERT INTO review_queue (query, response, confidence_scores, created_at) VALUES"
    " ('huge', 'r', '{\"a\": 1e400, \"b\": 0.75}', '2025-01-01'), (x'00ff', 'r', NULL, '2025-01-01'),"
    " ('blob', x'00ff', NULL, '2025-01-01'), (CAST(x'ff' AS TEXT), 'r', NULL, '2025-01-01'),"
    " ('epoch', 'r', NULL, 1735689600.25), ('day', 'r', NULL, '20250101'), ('never', 'r', NULL, '2025-02-30');",
    "sums.db": "CREATE TABLE raw_metrics (name TEXT, value REAL, tag_hash TEXT, timestamp TEXT);"
    "INSERT INTO raw_metrics VALUES ('m', -9e999, '', '2025-01-01'), ('m', 'n/a', '', '2025-01-01');"
    "CREATE TABLE aggregated_metrics (name TEXT, period TEXT, period_start TEXT, count INTEGER, sum_value REAL);"
    "INSERT INTO aggregated_metrics SELECT 'm', 'hour', '2025-01-01', 1, 1e308 FROM raw_metrics;",
}
"""Files beside the samples' shapes: tables missing or keyed otherwise, other names, values of every wrong kind."""


def test_files_of_odd_shapes_and_values(
    db: psycopg.Connection[Any], command_environment: dict[str, str], tmp_path: Path
) -> None:
    for name, script in ODD.items():
        with closing(sqlite3.connect(tmp_path / name)) as file:
            file.executescript(script)
    before = migrate(command_environment, tmp_path, "--verify")
    assert (before.returncode, before.stderr.strip()) == (7, "nothing was migrated to this database yet")
    assert migrate(command_environment, tmp_path, "--rollback").returncode == 7

    secret = tmp_path / "secret.db"
    secret.write_bytes(os.urandom(5000))
    done = migrate(command_environment, tmp_path)
    assert (done.returncode, "secret.db" in done.stderr) == (2, True), done.stderr
    secret.unlink()
    assert totals(done.stdout)[:4] == [22, 6, 8, 8]
    candidates = db.execute(
        "SELECT query_text, uncertainty_score, extract(epoch FROM created_at)::float8"
        " FROM learning.active_learning_candidates ORDER BY id"
    ).fetchall()
    assert candidates == [("huge", 0.25, 1735689600.0), ("epoch", 1.0, 1735689600.25)]
    assert db.execute("SELECT value FROM metrics.metric_data_points").fetchall() == [(float("-inf"),)]
    reasons = db.execute("SELECT reason, count(*) FROM archive.rejected_rows GROUP BY reason").fetchall()
    assert dict(reasons) == {
        "query is binary": 2, "response is binary": 1, "created_at is no time": 2, "value is no number": 1,
        "sum_value is too large to be added to others": 2,
    }  # fmt: skip
    assert db.execute("SELECT query_id FROM learning.feedback").fetchall() == [("q",)]

    with closing(sqlite3.connect(tmp_path / "upper.db")) as file:
        file.execute("DELETE FROM conversations")
        file.commit()
    kept = contents(db)
    again = migrate(command_environment, tmp_path)
    assert again.returncode == 0, again.stderr
    assert "0 rows changed and 1 went" in again.stdout
    assert contents(db) == kept
    verified = migrate(command_environment, tmp_path, "--verify", *_only("no_rowid", "more", "values"))
    assert verified.returncode == 0, verified.stdout
    for statement in ("UPDATE landing.no_rowid__feedback SET rating = 1", "DELETE FROM landing.more__taken"):
        db.execute(statement)
    assert migrate(command_environment, tmp_path, "--verify", *_only("no_rowid")).returncode == 7
    assert migrate(command_environment, tmp_path, "--verify", *_only("more")).returncode == 7
    assert migrate(command_environment, tmp_path, "--rollback", *_only("no_rowid", "more")).returncode == 0
    assert db.execute("SELECT count(*) FROM learning.feedback").fetchone() == (0,)


def _only(*stores: str) -> list[str]:
    return [part for store in stores for part in ("--only", store)]


def test_what_postgresql_refuses_is_one_line_without_values_and_costs_no_other_store(
    db: psycopg.Connection[Any], command_environment: dict[str, str], tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "feedback_store.db")) as file:
        file.executescript(ODD["no_rowid.db"].replace("'q'", "'a secret'"))
    with closing(sqlite3.connect(tmp_path / "more.db")) as file:
        file.executescript(ODD["more.db"])
    db.execute("ALTER TABLE learning.feedback ADD CONSTRAINT refuses CHECK (query_id <> 'a secret')")
    done = migrate(command_environment, tmp_path)
    db.execute("ALTER TABLE learning.feedback DROP CONSTRAINT refuses")
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (1, 1), done.stderr
    assert "feedback_store: PostgreSQL refused (23514)" in done.stderr
    assert "secret" not in done.stderr
    assert totals(done.stdout)[-1] == db.execute("SELECT count(*) FROM paralelo_stores.migrated_row").fetchone()[0] > 0


def test_killed_in_the_middle_and_run_again(
    db: psycopg.Connection[Any], command_environment: dict[str, str], folder: Path
) -> None:
    """Stopped while it maps its second store: the first stays, the second leaves no trace, the next run ends it."""
    only = ("--only", "audit_queue", "--only", "user_behavior")
    with db.transaction():
        db.execute("LOCK TABLE analytics.session_history IN ACCESS EXCLUSIVE MODE")
        running = subprocess.Popen(
            [sys.executable, SCRIPT, str(folder), *only],
            env=command_environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _wait_until_it_waits(db)
        finally:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
    _wait_until_it_is_gone(db)
    kept = contents(db)
    assert kept["audit.audit_queue"][0] > 0
    assert kept["analytics.user_profiles"][0] == 0
    done = migrate(command_environment, folder, *only)
    assert done.returncode == 0, done.stderr
    assert contents(db)["audit.audit_queue"] == kept["audit.audit_queue"]
    assert contents(db)["analytics.user_profiles"][0] > 0
    assert migrate(command_environment, folder, "--verify", *only).returncode == 0


def test_a_plugin_that_was_killed_is_told_with_a_code_of_ours(
    folder: Path, settings: DatabaseSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path / "killed"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o700)
    monkeypatch.setattr("stores.migration.landing.executable", lambda _: str(killed))
    with pytest.raises(LandingFailed, match="target-postgres was ended by signal 9") as told:
        land(find(folder)[0][:1], settings)
    assert told.value.code == Exit.UNEXPECTED


@pytest.mark.parametrize("kind", ["writable by all", "a link"])
def test_a_folder_that_others_may_write_to_takes_no_rows(
    command_environment: dict[str, str], folder: Path, tmp_path: Path, kind: str
) -> None:
    theirs = tmp_path / f"paralelo-landing-{os.getuid()}"
    if kind == "a link":
        theirs.symlink_to(tmp_path)
    else:
        theirs.mkdir()
        theirs.chmod(0o777)
    done = migrate({**command_environment, "TMPDIR": str(tmp_path)}, folder, "--only", "audit_queue")
    assert done.returncode == 2, done.stderr
    assert "is not a folder of this user alone" in done.stderr


def test_batch_files_of_a_killed_migration_are_gone_after_the_next(
    command_environment: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    env = {**command_environment, "TMPDIR": str(tmp_path)}
    only = ("--only", "audit_queue")
    running = subprocess.Popen(
        [sys.executable, SCRIPT, str(folder), *only],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not list(tmp_path.rglob("*.arrow")):
            with suppress(subprocess.TimeoutExpired):
                running.wait(0.02)
            assert running.returncode is None, "it ended before it was killed"
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert list(tmp_path.rglob("*.arrow")), "nothing was left to be removed"
    done = migrate(env, folder, *only)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]


_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'paralelo stores migration'"


def _wait_until_it_waits(db: psycopg.Connection[Any]) -> None:
    wait(db, f"{_SESSIONS} AND wait_event_type = 'Lock'", 1)


def _wait_until_it_is_gone(db: psycopg.Connection[Any]) -> None:
    db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'paralelo stores migration'"
    )
    wait(db, _SESSIONS, 0)


def test_rolled_back_while_nothing_new_was_written(
    db: psycopg.Connection[Any], command_environment: dict[str, str], folder: Path
) -> None:
    before = contents(db)
    only = ("--only", "user_behavior", "--only", "feedback_store")
    assert migrate(command_environment, folder, *only).returncode == 0
    kept = "SELECT count(*) FROM archive.rejected_rows WHERE store = 'user_behavior'"
    assert db.execute(kept).fetchone() != (0,)
    db.execute("INSERT INTO learning.feedback (rating) VALUES (5)")
    refused = migrate(command_environment, folder, "--rollback", *only)
    assert refused.returncode == 7
    assert "1 new" in refused.stderr
    db.execute("DELETE FROM learning.feedback WHERE meta IS NULL")
    db.execute("DELETE FROM learning.feedback WHERE id = (SELECT max(id) FROM learning.feedback)")
    db.execute("UPDATE learning.feedback SET rating = 1 WHERE id = (SELECT min(id) FROM learning.feedback)")
    refused = migrate(command_environment, folder, "--rollback", "--only", "feedback_store")
    assert (refused.returncode, "2 rows of the migration changed or gone" in refused.stderr) == (7, True)
    done = migrate(command_environment, folder, "--rollback", "--only", "user_behavior")
    assert done.returncode == 0, done.stderr
    assert db.execute(kept).fetchone() == (0,)
    after = contents(db)
    assert after["analytics.user_profiles"] == before["analytics.user_profiles"]
    assert after["analytics.session_history"] == before["analytics.session_history"]
    assert db.execute("SELECT count(*) FROM paralelo_stores.migrated_row WHERE store = 'user_behavior'").fetchone() == (
        0,
    )


_TURN = "SELECT pg_advisory_xact_lock(hashtextextended('migrate feedback_store', 0))"


@pytest.mark.parametrize(
    ("held", "option", "code", "words"),
    [
        (_TURN, (), 0, ""),
        (_TURN, ("--rollback",), 0, ""),
        ("INSERT INTO learning.feedback (rating) VALUES (5)", ("--rollback",), 7, "1 new"),
    ],
    ids=["a migration for another", "a rollback for a migration", "a rollback for what the application writes"],
)
def test_who_comes_second_waits(
    db: psycopg.Connection[Any],
    command_environment: dict[str, str],
    folder: Path,
    held: str,
    option: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    only = ("--only", "feedback_store")
    done = migrate(command_environment, folder, *only)
    assert done.returncode == 0, done.stderr
    command = [sys.executable, SCRIPT, str(folder), *only, *option]
    second = run_while_held(db, held, command, command_environment)
    assert (second.returncode, words in second.stderr) == (code, True), second.stderr


def test_what_cannot_be_done_is_said_in_one_line(command_environment: dict[str, str], tmp_path: Path) -> None:
    for options, code in (((str(tmp_path / "none"),), 2), ((str(tmp_path),), 2), ((), 2)):
        command = [sys.executable, SCRIPT, *options]
        done = subprocess.run(command, env=command_environment, capture_output=True, text=True, check=False)
        assert (done.returncode, len(done.stderr.strip().splitlines())) == (code, 1), done.stderr
    with closing(sqlite3.connect(tmp_path / "more.db")) as file:
        file.executescript(ODD["more.db"])
    done = migrate(command_environment, tmp_path, *_only("more", "mroe"))
    assert (done.returncode, done.stdout, "no store named mroe was found" in done.stderr) == (2, "", True), done.stderr
