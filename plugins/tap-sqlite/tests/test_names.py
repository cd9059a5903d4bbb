"""Whatever a table calls its columns, its rows come in the key's order, through the same indexes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sync_rules.full import KeyRange
from sync_rules.incremental import Window
from tap_sqlite.database import folded, quoted
from tap_sqlite.table import SqliteTable

OURS = [
    "c0",
    "C0",
    "c1",
    "c2",
    "c3",
    "size",
    "t",
    "T",
    "main",
    "rowid",
    "_rowid",
    "_rowid_",
    "oid",
    "1",
    "''",
    "é",
    "É",
]

names = st.lists(
    st.one_of(st.sampled_from(OURS), st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=3)),
    min_size=4,
    max_size=4,
    unique_by=folded,
)


def of_pages(source: SqliteTable) -> list[tuple[Any, ...]]:
    """Every row of a full sync."""
    begun, below, found = source.begin(), None, []
    while True:
        page = source.read_page(KeyRange(begun.upper_key or (), below))
        found += [tuple(row.values()) for batch in page.batches for row in batch.to_pylist()]
        if page.last:
            return found
        below = page.lowest


def of_cursor_pages(source: SqliteTable) -> list[tuple[Any, ...]]:
    """Every row of an incremental sync."""
    window, found = Window(0, 1000), []
    while True:
        page = source.read_cursor_page(window)
        found += [tuple(row.values()) for batch in page.batches for row in batch.to_pylist()]
        if page.last:
            return found
        window = replace(window, after=page.end)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    names=names,
    order=st.permutations(range(4)),
    rows=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=8, max_size=12),
    key=st.sampled_from(["INTEGER PRIMARY KEY", "TEXT PRIMARY KEY", "INT UNIQUE"]),
)
def test_columns_of_any_name_and_order(
    names: list[str],
    order: list[int],
    rows: list[tuple[int, int]],
    key: str,
    opened: Callable[..., SqliteTable],
    tmp_path: Path,
) -> None:
    """A result of ours that is called like a column would be what its rows are sorted by."""
    path = tmp_path / "names.db"
    path.unlink(missing_ok=True)
    # The key, the cursor, and two more that sort otherwise, in any order.
    declared, stored = [key, "INT", "TEXT", "TEXT"], []
    for number, (cursor, other) in enumerate(rows):
        of_key: Any = f"k{number:02}" if key.startswith("TEXT") else number
        stored.append((of_key, cursor, f"{99 - number}", f"{other}"))
    with sqlite3.connect(path) as connection:
        columns = ", ".join(f"{quoted(names[at])} {declared[at]}" for at in order)
        connection.execute(f"CREATE TABLE t ({columns})")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", [[row[at] for at in order] for row in stored])
    connection.close()
    expected = [tuple(row[at] for at in order) for row in stored]
    source = opened(path, sync_mode="full", key_columns=[names[0]])
    assert of_pages(source) == expected[::-1]
    source.close()
    source = opened(path, sync_mode="incremental", key_columns=[names[0]], cursor_column=names[1])
    by_cursor = sorted(range(len(rows)), key=lambda number: (rows[number][0], number))
    assert of_cursor_pages(source) == [expected[number] for number in by_cursor]
    source.close()


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("key", ["INTEGER PRIMARY KEY", "TEXT PRIMARY KEY", "TEXT PRIMARY KEY) WITHOUT ROWID"])
def test_pages_go_by_the_index(key: str, split: bool, opened: Callable[..., SqliteTable], tmp_path: Path) -> None:
    path = tmp_path / "plans.db"
    with sqlite3.connect(path) as connection:
        table, _, ending = key.partition(")")
        connection.execute(f"CREATE TABLE t (c0 INT NOT NULL, c1 {table}, c2 TEXT){ending}")
        connection.execute("CREATE INDEX by_cursor ON t (c0, c1)")
    connection.close()
    source = opened(path, sync_mode="incremental", cursor_column="c0")
    queries = source._queries
    statements = [
        queries.page(10, ["a"], ["b"], split=split),
        queries.cursor_page(10, 0, 9, (5, ["a"]), split=split),
        queries.highest_key(),
        queries.largest_of_page(10, ["a"], ["b"]) or ("", ()),
    ]
    for sql, values in statements:
        plan = " / ".join(row[3] for row in source.database.rows(f"EXPLAIN QUERY PLAN {sql}", values))
        assert "TEMP B-TREE" not in plan, plan
        assert not values or "t USING" in plan, plan
    source.close()


def test_names_are_told_apart_as_sqlite_does(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    """Its names are the same in any case of an ASCII letter, and of no other."""
    path = file('CREATE TABLE t (É INTEGER PRIMARY KEY, é INT, Aa, s TEXT, "q""" TEXT)', {"t": [(1, 9, "x", "y", "z")]})
    run = tap(path, key_columns=["é"], column_types={"aA": "text"})
    assert run.code == 0, run.log
    assert run.of("SCHEMA")[0]["key_properties"] == ["é"]
    assert run.rows == [{"É": 1, "é": 9, "Aa": "x", "s": "y", 'q"': "z"}]
    assert tap(path, tables=["T"], key_columns=["S"]).of("SCHEMA")[0]["key_properties"] == ["s"]
