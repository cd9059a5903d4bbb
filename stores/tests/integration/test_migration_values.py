"""Values that end up in no statement of the mapping: each costs its own row at the most, never its store."""

from __future__ import annotations

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

STORES: dict[str, tuple[str, list[tuple[str, list[tuple[Any, ...]]]]]] = {
    "tws": (
        "CREATE TABLE job_status (job_name TEXT, status TEXT, return_code INT, timestamp TEXT);"
        "CREATE TABLE events (event_id TEXT, event_type TEXT, severity TEXT, message TEXT, details TEXT,"
        " timestamp TEXT)",
        [
            ("job_status VALUES (?, 's', 0, '2025-01-01')", [(_LONG,), ("short",)]),
            ("events VALUES ('e', 't', 's', 'm', ?, '2025-01-01')", [(_DEEP,), (f'["{_SIGNS}"]',)]),
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
        ("tws", 3, "message is binary"),
    ]
    details = db.execute("SELECT details - 'legacy' FROM tws.tws_events ORDER BY id").fetchall()
    assert details == [({"broken_json": _DEEP},), ({"value": [_SIGNS]},)]
    assert db.execute("SELECT k::text, n::text FROM archive.behavior__kept ORDER BY 2, 1").fetchall() == [
        ("1", '"one"'), ("1", "1"), ("1.5", "2"),
    ]  # fmt: skip
    changes = db.execute("SELECT adjustment_history -> 'changes' FROM learning.learning_thresholds").fetchall()
    assert changes == [([{"new_value": 0.6}],)]
    verified = migrate(command_environment, tmp_path, "--verify")
    assert verified.returncode == 0, verified.stdout
    assert migrate(command_environment, tmp_path, "--rollback").returncode == 0


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
