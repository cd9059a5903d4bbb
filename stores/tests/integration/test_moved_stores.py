"""Stores that were moved, and what stands in their place: by name, by file, row by row."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from stores.tests.migrating import migrate

pytestmark = pytest.mark.usefixtures("empty")

FEEDBACK = (
    "CREATE TABLE feedback (query_hash TEXT, doc_id TEXT, rating INTEGER, timestamp TIMESTAMP);"
    "INSERT INTO feedback VALUES ('{0}', 'd', 5, '2025-01-01'), ('{0}', 'd', 'bad', '2025-01-01');"
    "CREATE TABLE document_scores (doc_id TEXT, n); INSERT INTO document_scores VALUES ('{0}', 1), ('b', 2);"
)


def _feedback(path: Path, word: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as file:
        file.executescript(FEEDBACK.format(word))


@pytest.mark.parametrize(("one", "other"), [("m.db", "m.sqlite"), ("a/b.db", "a_b.db"), ("X.db", "x.DB")])
def test_two_files_of_one_name_are_refused(
    command_environment: dict[str, str], tmp_path: Path, one: str, other: str
) -> None:
    for name in (one, other):
        _feedback(tmp_path / name, "q")
    done = migrate(command_environment, tmp_path, "--dry-run")
    assert (done.returncode, "would both be the store" in done.stderr) == (2, True), done.stderr


def test_a_file_and_a_link_to_it_are_one_store(command_environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "old"
    _feedback(folder / "f.db", "q")
    _feedback(tmp_path / "elsewhere" / "e.db", "q")
    (folder / "a.db").symlink_to("f.db")
    (folder / "b.db").symlink_to(tmp_path / "elsewhere" / "e.db")
    done = migrate(command_environment, folder, "--dry-run", "--json")
    assert {one["store"] for one in json.loads(done.stdout)["plan"]} == {"b", "f"}
    assert "a.db: a link to f.db, which is moved by its own name" in done.stderr


def test_another_file_under_a_moved_stores_name_is_refused(
    db: psycopg.Connection[Any], command_environment: dict[str, str], tmp_path: Path
) -> None:
    _feedback(tmp_path / "first" / "f.db", "one")
    _feedback(tmp_path / "second" / "f.db", "two")
    _feedback(tmp_path / "second" / "kept.db.bak", "two")
    assert migrate(command_environment, tmp_path / "first").returncode == 0
    other = migrate(command_environment, tmp_path / "second")
    assert (other.returncode, "--same-files" in other.stderr) == (7, True), other.stderr
    assert "kept.db.bak: a SQLite file whose name" in other.stdout
    (tmp_path / "first" / "f.db").unlink()
    with closing(sqlite3.connect(tmp_path / "first" / "f.db")) as file:
        file.executescript(FEEDBACK.format("three").replace("('b', 2)", "('c', 3)"))
    other = migrate(command_environment, tmp_path / "first")
    assert (other.returncode, "another file" in other.stderr) == (7, True), other.stderr
    with closing(sqlite3.connect(tmp_path / "first" / "f.db")) as file:
        file.executescript("UPDATE feedback SET rowid = rowid + 9; UPDATE document_scores SET rowid = rowid + 9")
    other = migrate(command_environment, tmp_path / "first")
    assert (other.returncode, "another file" in other.stderr) == (7, True), other.stderr
    assert db.execute("SELECT query_id FROM learning.feedback").fetchall() == [("one",)]
    assert migrate(command_environment, tmp_path / "first", "--same-files").returncode == 0
    (tmp_path / "second" / "f.db").rename(tmp_path / "second" / "g.db")
    assert migrate(command_environment, tmp_path / "second").returncode == 0
    (tmp_path / "second" / "g.db").unlink()
    verified = migrate(command_environment, tmp_path / "first", "--verify")
    assert "NO FILE" not in verified.stdout, "what was moved from elsewhere is not looked for here"


def test_verify_asks_the_ledger_the_archive_and_what_was_rejected(
    db: psycopg.Connection[Any], command_environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "f.db"
    _feedback(path, "q")
    assert migrate(command_environment, tmp_path).returncode == 0
    with psycopg.connect(db.info.dsn, password=db.info.password, autocommit=True) as connection:
        for table, broken in (
            ("archive.f__document_scores", "UPDATE archive.f__document_scores SET n = 7 WHERE doc_id = 'b'"),
            ("archive.rejected_rows", "DELETE FROM archive.rejected_rows"),
            ("paralelo_stores.migrated_row", "DELETE FROM paralelo_stores.migrated_row WHERE outcome = 'archived'"),
        ):
            connection.execute(f"CREATE TEMP TABLE as_it_was AS TABLE {table}".encode())
            connection.execute(broken)
            assert migrate(command_environment, tmp_path, "--verify").returncode == 7, broken
            connection.execute(f"DELETE FROM {table}".encode())
            connection.execute(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE TABLE as_it_was".encode())
            connection.execute("DROP TABLE as_it_was")
        assert migrate(command_environment, tmp_path, "--verify").returncode == 0
        connection.execute("DROP TABLE archive.f__document_scores")
    assert migrate(command_environment, tmp_path, "--verify").returncode == 7
    assert migrate(command_environment, tmp_path, "--rollback").returncode == 0
    assert migrate(command_environment, tmp_path).returncode == 0
    with closing(sqlite3.connect(path)) as file:
        file.execute("DELETE FROM document_scores")
        file.commit()
    assert migrate(command_environment, tmp_path, "--verify").returncode == 7
    (tmp_path / "g.db").write_bytes(path.read_bytes())
    path.unlink()
    gone = migrate(command_environment, tmp_path, "--verify")
    assert (gone.returncode, "NO FILE: f was moved" in gone.stdout) == (7, True), gone.stdout


def test_values_of_another_kind_and_other_columns_that_came_later_are_taken_along(
    db: psycopg.Connection[Any], command_environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "f.db"
    _feedback(path, "q")
    with closing(sqlite3.connect(path)) as file:
        file.executescript(
            "CREATE TABLE a (t TEXT, r REAL, b BLOB, o BOOLEAN);"
            "INSERT INTO a VALUES ('x', 9e999, x'00', 1), ('y', 2.0, x'', 0);"
            "CREATE TABLE moved (one TEXT, two TEXT); INSERT INTO moved VALUES ('1', '2')"
        )
    assert migrate(command_environment, tmp_path).returncode == 0
    with closing(sqlite3.connect(path)) as file:
        file.executescript(
            "INSERT INTO feedback VALUES ('new', 'd', 5, '2025-01-01'), (x'00', 'd', 5, '2025-01-01');"
            "ALTER TABLE a ADD COLUMN more TEXT; INSERT INTO a VALUES (x'01', 'r', 'b', 'o', 'm');"
            "DROP TABLE moved; CREATE TABLE moved (two TEXT, one TEXT); INSERT INTO moved VALUES ('2', '1'), ('4', '3')"
        )
    done = migrate(command_environment, tmp_path)
    assert done.returncode == 0, done.stderr
    assert db.execute("SELECT query_id FROM learning.feedback ORDER BY id").fetchall() == [("q",), ("new",)]
    assert db.execute("SELECT reason FROM archive.rejected_rows WHERE source_rowid = 4").fetchone() is not None
    assert db.execute("SELECT t, r, b, o, more FROM archive.f__a ORDER BY _rowid").fetchall() == [
        ("x", {"real": "inf"}, {"base64": "AA=="}, 1, None),
        ("y", 2.0, {"base64": ""}, 0, None),
        ({"base64": "AQ=="}, "r", "b", "o", "m"),
    ]
    assert db.execute("SELECT one, two FROM archive.f__moved ORDER BY _rowid").fetchall() == [("1", "2"), ("3", "4")]
    verified = migrate(command_environment, tmp_path, "--verify")
    assert verified.returncode == 0, verified.stdout
