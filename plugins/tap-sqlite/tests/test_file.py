"""The file itself: its WAL, its locks, its path, and what others do to it while it is read."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tap_sqlite.database
from sync_rules.exits import SourceUnreachable
from tap_sqlite.database import Database
from tap_sqlite.table import SqliteTable


def test_one_moment_of_the_file_while_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "live.db"
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
    writer.executemany("INSERT INTO t VALUES (?, 0)", [(i,) for i in range(100)])
    writer.commit()
    code = f"""
import sys
from tap_sqlite.database import Database
database = Database({str(path)!r})
print(database.rows("SELECT count(*), sum(n) FROM t")[0], flush=True)
sys.stdin.readline()
print(database.rows("SELECT count(*), sum(n) FROM t")[0], flush=True)
"""
    # A process of its own: two copies of SQLite in one process drop each other's locks.
    reader = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    first = reader.stdout.readline()
    writer.execute("UPDATE t SET n = 1")
    writer.execute("INSERT INTO t VALUES (1000, 1)")
    writer.commit()
    second, _ = reader.communicate("go on\n")
    assert first == second == "(100, 0)\n"
    writer.close()


@pytest.mark.parametrize("left", [0, 8192])
def test_a_file_that_is_cut_short_while_it_is_read_is_told(left: int, file: Callable[..., Path]) -> None:
    path = file("CREATE TABLE t (a TEXT)", {"t": [("x" * 1000,)] * 5000})
    code = f"""
import os
from sync_rules.exits import ConfigurationError
from tap_sqlite.database import Database
database = Database({str(path)!r})
assert database.value("SELECT a FROM t LIMIT 1") == "x" * 1000
os.truncate({str(path)!r}, {left})
try:
    database.value("SELECT sum(length(a)) FROM t")
except ConfigurationError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, "the file is damaged" in run.stdout) == (0, True), run.stderr


@pytest.mark.parametrize("immutable", [False, True])
def test_what_is_copied_over_the_file_while_it_is_read_is_told(immutable: bool, file: Callable[..., Path]) -> None:
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)", {"t": [(i, 1) for i in range(5000)]})
    other = file("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)", {"t": [(i, 2) for i in range(5000)]}, name="b.db")
    database = Database(path, immutable=immutable)
    assert database.value("SELECT n FROM t LIMIT 1") == 1
    path.write_bytes(other.read_bytes())
    os.utime(path, (1_000_000_000, 1_000_000_000))  # as `cp -p` leaves it
    for read in (lambda sql: database.value(sql), lambda sql: list(database.batches(sql, (), 10))):
        with pytest.raises(SourceUnreachable, match="something that heeds no locks wrote to it"):
            read("SELECT n FROM t ORDER BY id DESC")
    database.close()


def test_a_file_that_is_moved_over_the_open_one_is_none_of_its_business(file: Callable[..., Path]) -> None:
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)", {"t": [(i, 1) for i in range(5000)]})
    database = Database(path)
    file("CREATE TABLE t (n INT)", {"t": [(2,)]}, name="b.db").replace(path)
    assert database.rows("SELECT count(*), max(n) FROM t") == [(5000, 1)]
    path.unlink()
    assert database.rows("SELECT count(*), max(n) FROM t") == [(5000, 1)]
    database.close()


@pytest.mark.parametrize(("whole", "words"), [(False, "its end is cut off"), (True, "in the order of its key")])
def test_the_end_of_a_file_that_is_cut_off_is_no_row_of_zeros(
    whole: bool, words: str, file: Callable[..., Path], tap: Callable[..., Any]
) -> None:
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)", {"t": [(id_, "x" * 200) for id_ in range(100)]})
    size = path.stat().st_size
    os.truncate(path, size + 5)
    assert len(tap(path).rows) == 100, "what follows the last page is nothing to SQLite"
    os.truncate(path, size - (300 if whole else 5))
    if whole:
        os.truncate(path, size)
    run = tap(path)
    assert (run.code, run.rows, words in run.log) == (2, [], True), run.log


def test_a_signal_in_a_query_reaches_its_handler(file: Callable[..., Path]) -> None:
    """The driver's own handler made another error of SIGINT: the run ended with exit 3, as if the file had failed."""
    code = f"""
import os, signal, sys, threading
from tap_sqlite.database import Database
database, asked = Database({str(file("CREATE TABLE t (a)"))!r}), threading.Event()
signal.signal(signal.SIGINT, lambda number, frame: sys.exit(130))
def interrupt():
    asked.wait()
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
sys.setswitchinterval(60)  # the thread's turn is when the query lets go
asked.set()
database.value("WITH RECURSIVE n AS (SELECT 1 i UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT sum(i) FROM n")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 130, run.stderr


def test_wal_is_read_and_nothing_is_written(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    path = file("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY)")
    code = f"""
import os, sqlite3, signal
c = sqlite3.connect({str(path)!r}); c.execute("PRAGMA wal_autocheckpoint = 0")
c.execute("INSERT INTO t VALUES (1)"); c.commit(); os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert path.with_name("a.db-wal").stat().st_size > 0
    before = path.read_bytes()
    assert len(tap(path).rows) == 1
    assert path.read_bytes() == before
    with pytest.raises(Exception, match=r"readonly|query_only"):
        Database(path).rows("INSERT INTO t VALUES (2)")


def test_a_file_that_is_replaced_is_told_from_the_one_that_is_open(
    file: Callable[..., Path], opened: Callable[..., SqliteTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resume would go on in the old file's rows with the new file's name on them."""
    path, script = file("CREATE TABLE t (id INTEGER PRIMARY KEY)"), "CREATE TABLE t (id INTEGER PRIMARY KEY)"
    first = opened(path, sync_mode="full")
    before = first.fingerprint
    file(script, name="b.db").rename(path)
    assert first.fingerprint == before
    first.close()
    second = opened(path, sync_mode="full")
    assert second.fingerprint != before
    second.close()
    connect = tap_sqlite.database.sqlite.connect

    def replaced(*given: Any, **more: Any) -> Any:
        connection = connect(*given, **more)
        file(script, name="c.db").rename(path)
        return connection

    monkeypatch.setattr(tap_sqlite.database.sqlite, "connect", replaced)
    with pytest.raises(SourceUnreachable, match="put in its place while it was opened"):
        Database(path)


@pytest.mark.parametrize(("content", "words"), [(None, "no such file"), (b"not a database at all", "no SQLite file")])
def test_what_is_no_sqlite_file(content: bytes | None, words: str, tmp_path: Path, tap: Callable[..., Any]) -> None:
    path = tmp_path / "x.db"
    if content is not None:
        path.write_bytes(content)
    run = tap(path)
    assert (run.code, run.messages) == (2, [])
    assert words in run.log.strip().splitlines()[-1]


def test_what_is_no_file_is_not_waited_for(tmp_path: Path, tap: Callable[..., Any]) -> None:
    os.mkfifo(tmp_path / "pipe.db")
    for path in (tmp_path / "pipe.db", tmp_path):
        run = tap(path)
        assert (run.code, f"{path}: is no file" in run.log) == (2, True), run.log


def test_a_path_is_taken_as_it_is_written(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    """SQLite reads it as an address, in which some signs mean something else."""
    run = tap(file("CREATE TABLE t (a)", {"t": [(1,)]}, name="a b?mode=memory&c#d%41 é.db"))
    assert len(run.rows) == 1, run.log


def test_a_file_that_is_held_locked_is_waited_for_as_set(file: Callable[..., Path]) -> None:
    path = file("CREATE TABLE t (a)")
    code = f"""
import sqlite3, sys
c = sqlite3.connect({str(path)!r}); c.execute("BEGIN EXCLUSIVE"); print(flush=True); sys.stdin.readline()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(SourceUnreachable, match="another process holds it locked"):
            Database(path, busy_timeout_seconds=0)
        alone = Database(path, immutable=True, busy_timeout_seconds=7)
        assert alone.value("PRAGMA busy_timeout") == 7_000
        alone.close()
        writer.communicate("go on\n")


def test_immutable_is_refused_beside_what_is_not_in_the_file_yet(
    file: Callable[..., Path], tap: Callable[..., Any]
) -> None:
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY)", {"t": [(1,)]})
    assert tap(path, immutable=True).code == 0
    for ending in ("-wal", "-journal"):
        beside = path.with_name(f"a.db{ending}")
        beside.write_bytes(b"")
        assert tap(path, immutable=True).code == 0
        beside.write_bytes(b"x")
        run = tap(path, immutable=True)
        assert (run.code, f"a.db{ending} lies beside it" in run.log) == (2, True)
        beside.unlink()


def test_another_file_is_another_sync(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)", {"t": [(i, 1) for i in range(4)]})
    state = tap(path, page_size=2).of("STATE")[0]["value"]
    assert len(tap(path, state).rows) == 2
    file("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)", {"t": [(i, 2) for i in range(4)]}, name="b.db")
    path.with_name("b.db").replace(path)
    assert [row["n"] for row in tap(path, state).rows] == [2, 2, 2, 2]
    state = tap(path, page_size=2).of("STATE")[0]["value"]
    with sqlite3.connect(path) as connection:
        connection.execute("VACUUM")  # it may number the rows anew
    connection.close()
    assert len(tap(path, state).rows) == 4


def test_what_sqlite_refuses_to_read_is_no_matter_of_trying_again(
    file: Callable[..., Path], tap: Callable[..., Any]
) -> None:
    columns = ", ".join(f"1 AS c{number}" for number in range(600))
    path = file(
        "CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE gone (a);"
        f"CREATE VIEW broken AS SELECT * FROM gone; CREATE VIEW wide AS SELECT {columns}; DROP TABLE gone;"
    )
    for tables, words in ([], "broken: its columns cannot be told"), (["wide"], "too many columns"):
        run = tap(path, include_views=True, **({"tables": tables} if tables else {}))
        assert (run.code, words in run.log) == (2, True), run.log
    assert tap(path).code == 0
