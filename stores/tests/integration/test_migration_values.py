"""Values that end up in no statement of the mapping: each costs its own row at the most, never its store."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from stores.tests.migrating import migrate

pytestmark = pytest.mark.usefixtures("empty")

_LONG = random.Random(1).randbytes(2_000).hex()
_WORDS = " ".join(str(number) for number in range(200_000))
_DEEP = "[" * 20_000 + "]" * 20_000
_SIGNS = "[{" * 300
"""As text within JSON they nest nothing."""
_OWN = '{"legacy": "its own", "n": 1}'

STORES: dict[str, tuple[str, list[tuple[str, list[tuple[Any, ...]]]]]] = {
    "tws": (
        "CREATE TABLE job_status (job_name TEXT, status TEXT, return_code INT, timestamp TEXT, created_at TEXT);"
        "CREATE TABLE events (event_id TEXT, event_type TEXT, severity TEXT, message TEXT, details TEXT,"
        " timestamp TEXT)",
        [
            ("job_status VALUES (?, 's', 0, '2025-01-01', NULL)", [(_LONG,), ("short",)]),
            ("job_status VALUES ('j', 's', 0, NULL, ?)", [("soon",), ("2025-01-01",)]),
            ("events VALUES ('e', 't', 's', 'm', ?, '2025-01-01')", [(_DEEP,), (f'["{_SIGNS}"]',), (_OWN,)]),
            ("events VALUES ('e', 't', 's', CAST(? AS TEXT), NULL, '2025-01-01')", [(b"caf\xe9",)]),
        ],
    ),
    "context": (
        "CREATE TABLE conversations (user_query TEXT, agent_response TEXT, created_at TEXT);"
        "CREATE TABLE content (content TEXT, created_at TEXT)",
        [
            ("conversations VALUES ('q', ?, '2025-01-01')", [(_WORDS,), ("r",)]),
            ("content VALUES (?, '2025-01-01')", [(_WORDS,)]),
        ],
    ),
    "audit": (
        "CREATE TABLE audit_queue (memory_id TEXT, ia_audit_reason TEXT, status TEXT, created_at TEXT)",
        [("audit_queue VALUES (?, 'r', 'pending', '2025-01-01')", [(_LONG,), ("m",)])],
    ),
    "behavior": (
        "CREATE TABLE user_profiles (user_id TEXT, profile_data TEXT, updated_at REAL);"
        "CREATE TABLE session_history (session_id TEXT, user_id TEXT, start_time REAL, duration REAL,"
        " activity_count INT, bot_probability REAL);"
        "CREATE TABLE kept (k INT, n INT, PRIMARY KEY (k, n)) WITHOUT ROWID",
        [
            ("user_profiles VALUES ('u', '{}', 1735689600)", [()]),
            ("session_history VALUES (?, 'u', 1735689600, ?, 1, 0)", [("a", 1e300), ("b", 9e999), ("c", 60)]),
            ("kept VALUES (?, ?)", [(1, 1), (1, "one"), ("1.5", 2)]),
        ],
    ),
    "tuning": (
        "CREATE TABLE thresholds (name TEXT, current_value REAL, default_value REAL);"
        "CREATE TABLE audit_log (threshold_name, new_value REAL)",
        [
            ("thresholds VALUES (?, 0.5, 0.5)", [("a",)]),
            ("audit_log VALUES (?, 0.6)", [("a",), ("nul\0",), (5,)]),
        ],
    ),
}  # fmt: skip


def test_a_value_that_no_statement_takes_costs_its_row_only(
    db: psycopg.Connection[Any], command_environment: dict[str, str], tmp_path: Path
) -> None:
    for name, (tables, inserts) in STORES.items():
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as file:
            file.executescript(tables)
            for into, rows in inserts:
                file.executemany(f"INSERT INTO {into}", rows)
            file.commit()
    done = migrate(command_environment, tmp_path)
    assert done.returncode == 0, done.stderr
    rejected = db.execute("SELECT store, source_rowid, reason FROM archive.rejected_rows ORDER BY 1, 3, 2").fetchall()
    assert rejected == [
        ("audit", 1, "(payload ->> 'memory_id'::text) is too long to be indexed"),
        ("behavior", 1, "duration is beyond 10^11 seconds"),
        ("behavior", 2, "duration is beyond 10^11 seconds"),
        ("context", 1, "agent_response has more words than a full-text index holds"),
        ("context", 1, "content has more words than a full-text index holds"),
        ("tws", 1, "job_name is too long to be indexed"),
        ("tws", 4, "message is binary"),
        ("tws", 3, "timestamp is no time"),
    ]
    details = db.execute("SELECT details - 'legacy' FROM tws.tws_events ORDER BY id").fetchall()
    assert details == [({"broken_json": _DEEP},), ({"value": [_SIGNS]},), ({"value": json.loads(_OWN)},)]
    assert db.execute("SELECT k::text, n::text FROM archive.behavior__kept ORDER BY 2, 1").fetchall() == [
        ("1", '"one"'), ("1", "1"), ("1.5", "2"),
    ]  # fmt: skip
    changes = db.execute("SELECT adjustment_history -> 'changes' FROM learning.learning_thresholds").fetchall()
    assert changes == [([{"new_value": 0.6}],)]
    verified = migrate(command_environment, tmp_path, "--verify")
    assert verified.returncode == 0, verified.stdout
    assert migrate(command_environment, tmp_path, "--rollback").returncode == 0


WHOLE = """
CREATE TABLE snapshots (timestamp TEXT, total_jobs INTEGER, snapshot_data TEXT);
CREATE TABLE job_status (job_name TEXT, status TEXT, return_code, timestamp);
CREATE TABLE events (event_id TEXT, event_type TEXT, severity TEXT, message TEXT, timestamp);
CREATE TABLE problem_solutions (problem_type TEXT, problem_pattern TEXT, solution TEXT, times_applied INTEGER,
    times_successful INTEGER, created_at TEXT);
INSERT INTO snapshots VALUES ('2025-01-01 00:00:00', 7, '{}');
INSERT INTO job_status VALUES ('j', 's', 2147483647, '2025-01-01 12:00:00'), ('j', 's', NULL, 1735732800000.5),
    ('j', 's', 2147483648, '2025-01-01'), ('j', 's', 0, -1), ('j', 's', 0, '2025-01-01T12:00:00+03:00');
INSERT INTO events VALUES ('e', 't', NULL, 'm', 1735732800), ('e', 't', NULL, 'm', 99999999999.5);
INSERT INTO problem_solutions VALUES ('p', 'd', 's', 5, 3, '2025-01-01'), ('p', 'd', 's', 2, 3, '2025-01-01');
"""
OTHERS = {
    "context": "CREATE TABLE conversations (user_query TEXT, agent_response TEXT, created_at TEXT, is_flagged,"
    " is_approved);"
    "INSERT INTO conversations VALUES ('q', 'a', '2025-01-01', 1, 0), (NULL, 'b', '2025-01-01', 0, 1),"
    " ('c', NULL, '2025-01-01', 'maybe', 0), (NULL, NULL, '2025-01-01', 0, 0);",
    "audit": STORES["audit"][0].replace(")", ", reviewed_at TEXT);")
    + "INSERT INTO audit_queue VALUES ('m1', 'r', 'pending', '2025-01-01', '2025-01-02'),"
    " ('m2', 'r', 'approved', '2025-01-01', '2025-01-02'), ('m3', 'r', 'odd', '2025-01-01', NULL);",
    "behavior": STORES["behavior"][0].replace(", PRIMARY KEY (k, n)) WITHOUT ROWID", ");")
    + "INSERT INTO user_profiles VALUES ('u', '{}', 1735689600.5);"
    "INSERT INTO session_history VALUES ('s', 'u', 1735689600, 90.5, 4, 0);",
    "feedback": "CREATE TABLE feedback (query_hash TEXT, doc_id TEXT, rating INTEGER, timestamp TEXT);"
    "INSERT INTO feedback SELECT 'q', 'd', value, '2025-01-01' FROM json_each('[1, 2, 3, 4, 5]');",
    "tuning": STORES["tuning"][0] + ";INSERT INTO thresholds VALUES ('taken', 0.1, 0.5), ('free', 0.2, 0.5);",
}
"""Ordinary values, at the ends of what their columns take."""


def test_values_become_what_they_stood_for(
    db: psycopg.Connection[Any], command_environment: dict[str, str], tmp_path: Path
) -> None:
    """Wherever the command runs: a time without an offset is UTC."""
    for name, script in {"tws": WHOLE, **OTHERS}.items():
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as file:
            file.executescript(script)
    db.execute("INSERT INTO learning.learning_thresholds (threshold_name, current_value) VALUES ('taken', 0.9)")
    env = {**command_environment, "TZ": "America/Sao_Paulo", "PGTZ": "America/Sao_Paulo"}
    done = migrate(env, tmp_path)
    assert done.returncode == 0, done.stderr

    def found(columns: str, table: str) -> list[tuple[Any, ...]]:
        return db.execute(f"SELECT {columns} FROM {table} ORDER BY id".encode()).fetchall()

    noon = "2025-01-01 12:00:00"
    assert found("ts = '2025-01-01 00:00Z', job_count", "tws.tws_snapshots") == [(True, 7)]
    assert found("return_code, (ts AT TIME ZONE 'UTC')::text", "tws.tws_job_status") == [
        (2147483647, noon), (None, f"{noon}.0005"), (0, "2025-01-01 09:00:00"),
    ]  # fmt: skip
    assert found("severity, (ts AT TIME ZONE 'UTC')::text", "tws.tws_events") == [
        ("info", noon), ("info", "5138-11-16 09:46:39.5"),
    ]  # fmt: skip
    assert found("success_count, failure_count", "tws.tws_problem_solutions") == [(3, 2)]
    assert found("role, content, is_flagged, is_approved, ts::text", "context.conversations") == [
        ("user", "q", True, False, "2025-01-01 00:00:00+00"),
        ("assistant", "a", True, False, "2025-01-01 00:00:00.000001+00"),
        ("assistant", "b", False, True, "2025-01-01 00:00:00.000001+00"),
    ]
    assert found("status, completed_at::date::text", "audit.audit_queue") == [
        ("pending", None), ("approved", "2025-01-02"),
    ]  # fmt: skip
    assert found("query_count, ended_at - started_at = interval '90.5 seconds'", "analytics.session_history") == [
        (4, True)
    ]
    assert found("is_positive", "learning.feedback") == [(False,), (False,), (None,), (True,), (True,)]
    assert found("threshold_name, current_value", "learning.learning_thresholds") == [("taken", 0.9), ("free", 0.2)]
    reasons = db.execute("SELECT store, source_rowid, reason FROM archive.rejected_rows ORDER BY 1, 3, 2").fetchall()
    assert reasons == [
        ("audit", 3, "status is none of pending, approved, rejected"),
        ("context", 3, "is_flagged is no boolean"),
        ("context", 4, "neither user_query nor agent_response"),
        ("tuning", 1, "the target has a row of this threshold_name already"),
        ("tws", 3, "return_code is no integer"),
        ("tws", 2, "times_successful is above times_applied"),
        ("tws", 4, "timestamp is no time"),
    ]
    verified = migrate(env, tmp_path, "--verify")
    assert verified.returncode == 0, verified.stdout
    with closing(sqlite3.connect(tmp_path / "feedback.db")) as file:
        file.execute("DELETE FROM feedback WHERE rating > 1")
        file.commit()
    shrunk = migrate(env, tmp_path, "--only", "feedback")
    assert (shrunk.returncode, "0 rows changed and 4 went" in shrunk.stdout) == (0, True), shrunk.stdout
    assert len(found("id", "learning.feedback")) == 5


def test_a_file_whose_writer_died_is_told_with_what_to_do(command_environment: dict[str, str], tmp_path: Path) -> None:
    writing, dead = tmp_path / "writing", tmp_path / "dead.db"
    with closing(sqlite3.connect(writing)) as file:
        file.executescript(STORES["audit"][0])
        rows = [("m" * 900,)] * 50
        file.executemany("INSERT INTO audit_queue VALUES (?, 'r', 'pending', '2025-01-01')", rows)
        file.commit()
        file.execute("PRAGMA cache_size = 5")
        file.execute("UPDATE audit_queue SET memory_id = upper(memory_id)")
        shutil.copy(writing, dead)
        shutil.copy(f"{writing}-journal", f"{dead}-journal")
    done = migrate(command_environment, tmp_path, "--dry-run")
    assert done.returncode == 2
    assert "dead.db: cannot be read: a writer died in the middle of a transaction" in done.stderr


def test_a_file_damaged_inside_costs_no_other_store(
    db: psycopg.Connection[Any], command_environment: dict[str, str], tmp_path: Path
) -> None:
    """Its rows are counted by the index of its key, which is whole: only who reads them sees the damage."""
    broken = tmp_path / "a_broken.db"
    with closing(sqlite3.connect(broken)) as file:
        file.execute("CREATE TABLE job_patterns (pattern_key TEXT PRIMARY KEY, pattern_data TEXT)")
        rows = ((str(number), "p" * 900) for number in range(200))
        file.executemany("INSERT INTO job_patterns VALUES (?, ?)", rows)
        file.commit()
    size = broken.stat().st_size
    with broken.open("r+b") as raw:
        raw.seek(size // 8192 * 4096)
        raw.write(b"\xff" * 4096)
    with closing(sqlite3.connect(tmp_path / "b_whole.db")) as file:
        file.executescript(STORES["audit"][0])
        file.execute("INSERT INTO audit_queue VALUES ('m', 'r', 'pending', '2025-01-01')")
        file.commit()
    done = migrate(command_environment, tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert f"{broken}: the file is damaged" in done.stderr
    assert db.execute("SELECT payload ->> 'memory_id' FROM audit.audit_queue").fetchall() == [("m",)]
    assert migrate(command_environment, tmp_path, "--verify", "--only", "b_whole").returncode == 0
    compared = migrate(command_environment, tmp_path, "--verify")
    told = f"not everything is compared: {broken}: cannot be read: database disk image is malformed\n"
    assert (compared.stderr, "b_whole" in compared.stdout) == (told, True)
