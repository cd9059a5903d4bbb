"""Which tables there are, what their keys are, and reading them while others write."""

from __future__ import annotations

import json
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
from sync_rules.exits import ConfigurationError, SourceUnreachable
from tap_sqlite.catalog import describe, natural_key, table_names
from tap_sqlite.database import Database
from tap_sqlite.table import SqliteTable
from tap_sqlite.tap import TapSqlite

KINDS = """
CREATE TABLE plain (id INTEGER PRIMARY KEY, t TEXT);
CREATE TABLE texts (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE pairs (a TEXT NOT NULL, b INT NOT NULL, PRIMARY KEY (a, b));
CREATE TABLE turned (y INTEGER NOT NULL, x INTEGER NOT NULL, PRIMARY KEY (x, y));
CREATE TABLE keyless (a);
CREATE TABLE falling (id INTEGER PRIMARY KEY DESC, t);
CREATE TABLE taken (rowid TEXT, _rowid_ TEXT, oid TEXT);
CREATE TABLE own (_rowid TEXT, v BLOB);
CREATE VIEW seen AS SELECT id, t FROM plain;
CREATE VIRTUAL TABLE words USING fts5 (t);
"""


def test_tables_views_indexes_and_shadows_are_told_apart(file: Callable[..., Path]) -> None:
    database = Database(file(KINDS))
    tables = ["falling", "keyless", "own", "pairs", "plain", "taken", "texts", "turned"]
    assert table_names(database, views=False) == tables
    assert table_names(database, views=True) == sorted([*tables, "seen"])
    with pytest.raises(ConfigurationError, match="virtual table keeps its data"):
        describe(database, "words_data")
    with pytest.raises(ConfigurationError, match="no table"):
        describe(database, "none")
    keys = {name: natural_key(describe(database, name)) for name in [*tables, "seen"]}
    assert keys == {
        "plain": ("id",), "texts": ("k",), "pairs": ("a", "b"), "keyless": ("_rowid",), "falling": ("id",),
        "taken": (), "own": (), "seen": (), "turned": ("x", "y"),
    }  # fmt: skip
    database.close()


def test_every_kind_of_key_pages_through_every_row_once(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    script = (
        KINDS
        + """
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 23)
    INSERT INTO plain SELECT i, 'é' || i FROM n;
    INSERT INTO texts SELECT t, id FROM plain; INSERT INTO pairs SELECT id % 4, id FROM plain;
    INSERT INTO turned SELECT id % 4, id % 7 FROM plain; INSERT INTO keyless SELECT t FROM plain;
    INSERT INTO own SELECT t, x'' FROM plain; INSERT INTO taken SELECT t, t, t FROM plain;
    INSERT INTO falling (t) SELECT t FROM plain; UPDATE falling SET id = rowid;
    """
    )
    run = tap(file(script), page_size=5, include_views=True)
    assert run.code == 0, run.log
    sent = {message["stream"]: message["rows"] for message in run.of("ACTIVATE_VERSION")}
    assert sent == dict.fromkeys([f"main-{name}" for name in
        ("falling", "keyless", "own", "pairs", "plain", "seen", "taken", "texts", "turned")], 23)  # fmt: skip
    pairs = [(row["a"], row["b"]) for row in run.rows if "b" in row]
    assert pairs == sorted(pairs, reverse=True)
    assert len(set(pairs)) == 23


@pytest.mark.parametrize("key", ["TEXT PRIMARY KEY", "INTEGER PRIMARY KEY DESC"])
def test_a_key_that_is_null_or_twice_is_refused(key: str, file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    path = file(
        f"CREATE TABLE t (k {key}, n INT, UNIQUE (n, k)); CREATE UNIQUE INDEX some ON t (n) WHERE n > 1",
        {"t": [(None, 1), ("7", 1)]},
    )
    refused = tap(path)
    assert (refused.code, "key is NULL" in refused.log) == (2, True)
    assert len(tap(path, key_columns=["rowid"]).rows) == 2
    twice = tap(path, key_columns=["n"])
    assert (twice.code, "not unique" in twice.log) == (2, True)


@pytest.mark.parametrize(
    ("table", "key", "words"),
    [
        ("own", "rowid", "has a column _rowid, which its rowid would be called"),
        ("taken", "_rowid", "has no rowid"),
        ("texts", "rowid", "has no rowid"),
        ("seen", "rowid", "has no rowid"),
        ("plain", "nothing", "which the table does not have"),
        ("measured", "m", "cannot be a key: it holds double precision; set key_columns: [rowid]"),
        ("own", "v", "cannot be a key: it holds varbinary; set key_columns: [], which reads it in one pass"),
    ],
)
def test_a_key_that_cannot_be_had_is_refused_in_words(
    table: str, key: str, words: str, file: Callable[..., Path], tap: Callable[..., Any]
) -> None:
    run = tap(file(KINDS + "CREATE TABLE measured (m REAL UNIQUE);"), tables=[table], key_columns=[key])
    assert (run.code, run.of("BATCH"), words in run.log) == (2, [], True), run.log


def test_resumed_after_every_page(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY)", {"t": [(i,) for i in range(1, 8)]})
    whole = tap(path, page_size=1)
    states = [message["value"] for message in whole.of("STATE")]
    for done in range(1, 7):
        rest = tap(path, states[done - 1], page_size=2)
        assert [row["id"] for row in rest.rows] == list(range(7 - done, 0, -1))
        assert rest.of("ACTIVATE_VERSION")[0]["rows"] == 7


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


def test_large_values_make_small_pages(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB)", {"t": [(i, bytes(100_000)) for i in range(40)]})
    run = tap(path, page_bytes=500_000)
    assert len(run.rows) == 40
    assert len(run.of("BATCH")) >= 8


def test_row_numbers_as_far_apart_as_can_be(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    """What they make together is more than a bigint of the ledger holds."""
    ends = [-(2**63), 0, 2**63 - 1]
    run = tap(file("CREATE TABLE t (id INTEGER PRIMARY KEY)", {"t": [(end,) for end in ends]}), page_size=1)
    assert [row["id"] for row in run.rows] == ends[::-1], run.log
    assert run.of("SCHEMA")[0]["schema"]["x-paralelo"]["estimate"] is None


def test_discovery_lists_what_the_tap_reads(file: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps({"path": str(file(KINDS))}))
    command = [sys.executable, "-m", "tap_sqlite.tap", "--config", str(tmp_path / "c.json"), "--discover"]
    catalog = json.loads(subprocess.run(command, capture_output=True, check=True, env={**os.environ}).stdout)
    found = {entry["tap_stream_id"]: entry.get("key_properties") for entry in catalog["streams"]}
    assert found["main-plain"] == ["id"]
    assert "main-words" not in found
    assert "main-words_data" not in found


def test_columns_that_the_catalog_leaves_out_are_not_read(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    """Nor what came since: it may be what must not be copied. The key and the cursor always are."""
    path = file(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, c INT, secret TEXT, kept TEXT); CREATE TABLE u (a)",
        {"t": [(1, 2, "hidden", "x")], "u": [(1,)]},
    )
    catalog = json.loads(json.dumps(TapSqlite(config={"path": str(path)}, parse_env_config=False).catalog_dict))
    for entry in catalog["streams"]:
        for one in entry["metadata"]:
            left_out = one["breadcrumb"][-1:] in (["id"], ["c"], ["secret"])
            one["metadata"] |= {"selected": not left_out, "inclusion": "available"}
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE t ADD younger TEXT DEFAULT 'hidden'")
    connection.close()
    run = tap(path, catalog=catalog, tables=["T"], cursor_column="c")
    assert (run.code, run.rows) == (0, [{"id": 1, "c": 2, "kept": "x"}]), run.log
    assert {message["stream"] for message in run.of("SCHEMA")} == {"main-t"}


def test_keys_that_only_an_index_tells_apart_are_refused(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    path = file(
        "CREATE TABLE t (k TEXT COLLATE NOCASE NOT NULL, n INT, PRIMARY KEY (k COLLATE BINARY))",
        {"t": [("a", 1), ("A", 2), ("b", 3)]},
    )
    run = tap(path, page_size=1)
    assert (run.code, "not unique" in run.log) == (2, True), run.rows


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


def test_rejects_of_a_resumed_sync_are_counted_on(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)", {"t": [(i, "x" if i % 2 else i) for i in range(9)]})
    run = tap(path, page_size=2, max_rejects=2)
    assert run.code == 8
    for _ in range(3):
        run = tap(path, run.state, page_size=2, max_rejects=2) if run.of("STATE") else run
        assert (run.code, run.of("ACTIVATE_VERSION")) == (8, [])
    assert tap(path, page_size=2, max_rejects=4).code == 0
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)", {"t": list(enumerate("xx1x"))}, name="b.db")
    state = tap(path, page_size=3, max_rejects=3).of("STATE")[0]["value"]
    for most, code in ((2, 8), (3, 0)):
        assert tap(path, state, max_rejects=most).code == code


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


@pytest.mark.parametrize(
    ("declared", "keys", "words", "kind", "other"),
    [
        ("INT", ["1", "2.5", "3"], "not of its column's type", "", "[rowid]"),
        ("INTEGER", ["1", "2.5", "3"], "not of its column's type", " WITHOUT ROWID", "[]"),
        ("TEXT", ["CAST(x'ff' AS TEXT)"], "not UTF-8", "", "[rowid]"),
    ],
)
def test_a_key_that_is_no_place_to_go_on_from(
    declared: str,
    keys: list[str],
    words: str,
    kind: str,
    other: str,
    file: Callable[..., Path],
    tap: Callable[..., Any],
) -> None:
    rows = ", ".join(f"({key})" for key in keys)
    path = file(f"CREATE TABLE t (k {declared} PRIMARY KEY){kind}; INSERT INTO t VALUES {rows}")
    run = tap(path, page_size=1, max_rejects=9)
    assert (run.code, words in run.log, f"set key_columns: {other}" in run.log) == (2, True, True), run.log
    without = tap(path, key_columns=[], off_type_values="json")
    assert (len(without.rows), without.of("SCHEMA")[0]["key_properties"]) == (len(keys), [])


def test_a_wide_table_with_a_value_of_another_type(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    names = [f"n{number}" for number in range(600)]
    path = file(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {', '.join(f'{name} INT' for name in names)})")
    values = ", ".join(f"({row}, {', '.join(map(str, range(600)))})" for row in range(3))
    with sqlite3.connect(path) as connection:
        connection.execute(f"INSERT INTO t VALUES {values}")
        connection.execute("UPDATE t SET n599 = 'x' WHERE id = 1")
    connection.close()
    run = tap(path, max_rejects=1)
    assert run.code == 0, run.log
    assert [(row["id"], row["n0"], row["n599"]) for row in run.rows] == [(2, 0, 599), (0, 0, 599)]


@pytest.mark.parametrize(
    ("count", "declared", "kind"), [(400, "DATETIME", "bigint"), (1100, "TEXT", "text"), (1998, "INT", "bigint"),
                                    (600, "TEXT", "json")]
)  # fmt: skip
def test_a_table_as_wide_as_sqlite_has_them(
    count: int, declared: str, kind: str, file: Callable[..., Path], tap: Callable[..., Any]
) -> None:
    """More columns than one statement answers, longer conditions than one expression holds."""
    names = [f"n{number}" for number in range(count)]
    path = file(f"CREATE TABLE t (id INTEGER PRIMARY KEY, c INT, {', '.join(f'{name} {declared}' for name in names)})")
    with sqlite3.connect(path) as connection:
        connection.executemany("INSERT INTO t (id, c, n0, n300) VALUES (?, ?, ?, ?)", [(n, -n, n, n) for n in range(5)])
    connection.close()
    as_json = {"column_types": dict.fromkeys(names, "json")} if kind == "json" else {}
    run = tap(path, page_size=2, **as_json)
    assert run.code == 0, run.log
    value = {"bigint": int, "text": str, "json": lambda number: f'"{number}"'}[kind]
    assert [(row["id"], row["n0"], row["n300"], row["n301"]) for row in run.rows] == [
        (number, value(number), value(number), None) for number in reversed(range(5))
    ]
    assert run.types["n300"] == kind
    state = {"bookmarks": {"main-t": {"mode": "incremental", "cursor": -3, "cursor_column": "c"}}}
    changed = tap(path, state, sync_mode="incremental", cursor_column="c", page_size=2, **as_json)
    assert [row["id"] for row in changed.rows] == [3, 2, 1, 0], changed.log


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
