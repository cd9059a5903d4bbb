"""Tables beside the layouts' own, whose names or columns the migration's SQL might take for something else."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from stores.tests.migrating import migrate

pytestmark = pytest.mark.usefixtures("empty")
STORE = "CREATE TABLE job_patterns (pattern_key TEXT PRIMARY KEY, pattern_data TEXT);"
LONG = "L" * 70
TABLES = {
    "columns like aliases": "CREATE TABLE x (s, a, r, k, l, m, n, t, w, g, key, source, last);"
    "INSERT INTO x VALUES ('1', 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13);"
    "CREATE TABLE y (s, a, t, k, key, PRIMARY KEY (s, k)) WITHOUT ROWID; INSERT INTO y VALUES ('1', 2, 3, 4, 5);",
    "names over 63 bytes, alike for longer": f"CREATE TABLE {LONG}a (s TEXT); INSERT INTO {LONG}a VALUES (1);"
    f"CREATE TABLE {LONG}b (s TEXT); INSERT INTO {LONG}b VALUES (2), (3); CREATE TABLE {LONG}c (s TEXT);"
    f"CREATE TABLE é{LONG[:50]} (k INTEGER PRIMARY KEY) WITHOUT ROWID; INSERT INTO é{LONG[:50]} VALUES (4);",
    "a column _rowid": "CREATE TABLE x (b TEXT, _rowid INTEGER); INSERT INTO x VALUES ('1', 1), ('2', 2);"
    "CREATE TABLE y (_RowId, _rowid_own, b); INSERT INTO y VALUES (NULL, 1, 2), (1, 2, 3), (1, 2, 3), ('v', 2, 3);"
    "CREATE TABLE z (_rowid INTEGER PRIMARY KEY, É TEXT); INSERT INTO z VALUES (7, 'v');"
    "CREATE TABLE q (_rowid TEXT PRIMARY KEY) WITHOUT ROWID; INSERT INTO q VALUES ('k');"
    f"CREATE TABLE o (Ü{LONG} TEXT PRIMARY KEY) WITHOUT ROWID; INSERT INTO o VALUES ('k');",
    "percent signs": 'CREATE TABLE "100%_done" ("%s" TEXT, "50%" TEXT); INSERT INTO "100%_done" VALUES (\'1\', \'2\');'
    'CREATE TABLE "%(store)s {x}" ("%" TEXT PRIMARY KEY) WITHOUT ROWID; INSERT INTO "%(store)s {x}" VALUES (\'1\');',
}


@pytest.mark.parametrize("script", TABLES.values(), ids=TABLES)
def test_whatever_a_table_and_its_columns_are_called_it_is_archived_whole(
    db: psycopg.Connection[Any], command_environment: dict[str, str], tmp_path: Path, script: str
) -> None:
    with closing(sqlite3.connect(tmp_path / "learning.db")) as file:
        file.executescript(STORE + script)
        rows = sum(
            file.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for (name,) in file.execute("SELECT name FROM pragma_table_list WHERE type = 'table' AND schema = 'main'")
            if not name.startswith("sqlite_")
        )
    for new in (rows, 0):
        done = migrate(command_environment, tmp_path)
        assert done.returncode == 0, done.stderr
        [total] = [line for line in done.stdout.splitlines() if line.startswith("all ")]
        assert [int(number) for number in re.findall(r"\d+", total)] == [rows, 0, rows, 0, 0, new]
    verified = migrate(command_environment, tmp_path, "--verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert migrate(command_environment, tmp_path, "--rollback").returncode == 0
    assert db.execute("SELECT count(*) FROM pg_tables WHERE schemaname IN ('archive', 'landing')"
                      " AND tablename LIKE 'learning%'").fetchone() == (0,)  # fmt: skip


def test_a_log_with_columns_like_the_mappings_own_names_is_taken_along(
    db: psycopg.Connection[Any], command_environment: dict[str, str], tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "tuning.db")) as file:
        file.executescript(
            "CREATE TABLE thresholds (name TEXT PRIMARY KEY, current_value REAL, default_value REAL);"
            "INSERT INTO thresholds VALUES ('t', 0.5, 0.5);"
            "CREATE TABLE audit_log (threshold_name TEXT, r TEXT, a TEXT);"
            "INSERT INTO audit_log VALUES ('t', '1', '2');"
        )
    done = migrate(command_environment, tmp_path)
    assert done.returncode == 0, done.stderr
    history = db.execute("SELECT adjustment_history -> 'changes' FROM learning.learning_thresholds").fetchone()
    assert history == ([{"r": "1", "a": "2"}],)
