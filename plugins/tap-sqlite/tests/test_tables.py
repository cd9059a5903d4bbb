"""Which tables there are, what their keys are, and how rows of them are read page by page."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sync_rules.exits import ConfigurationError
from tap_sqlite.catalog import describe, natural_key, table_names
from tap_sqlite.database import Database
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
        ("hidden", "rowid", "cannot be a key: it holds double precision; set key_columns: [_rowid]"),
        ("own", "v", "cannot be a key: it holds varbinary; set key_columns: [], which reads it in one pass"),
    ],
)
def test_a_key_that_cannot_be_had_is_refused_in_words(
    table: str, key: str, words: str, file: Callable[..., Path], tap: Callable[..., Any]
) -> None:
    more = "CREATE TABLE measured (m REAL UNIQUE); CREATE TABLE hidden (rowid REAL);"
    run = tap(file(KINDS + more), tables=[table], key_columns=[key])
    assert (run.code, run.of("BATCH"), words in run.log) == (2, [], True), run.log


def test_resumed_after_every_page(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY)", {"t": [(i,) for i in range(1, 8)]})
    whole = tap(path, page_size=1)
    states = [message["value"] for message in whole.of("STATE")]
    for done in range(1, 7):
        rest = tap(path, states[done - 1], page_size=2)
        assert [row["id"] for row in rest.rows] == list(range(7 - done, 0, -1))
        assert rest.of("ACTIVATE_VERSION")[0]["rows"] == 7


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
