"""Values are as they are stored, or their rows are rejected."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

INTEGERS = [2**63 - 1, -(2**63), 0, 2**53 + 1, None]
REALS = [5e-324, 1.7976931348623157e308, 0.1, -2.5, math.inf]
TEXTS = ["", "nul\0inside", "日本 🎉", "'\"\\;--", "  "]
BLOBS = [b"", b"\0", bytes(range(256)), b"text", None]


def test_extremes_of_every_type_come_through(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    rows = list(zip(range(1, 6), INTEGERS, REALS, TEXTS, BLOBS, [0, 1, None, 1, 0], strict=True))
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY, i INT, r REAL, t TEXT, b BLOB, f BOOLEAN)", {"t": rows})
    run = tap(path)
    found = [tuple(row.values()) for row in reversed(run.rows)]
    assert found == [(*row[:5], None if row[5] is None else bool(row[5])) for row in rows]
    assert run.types == {
        "id": "bigint", "i": "bigint", "r": "double precision", "t": "text", "b": "varbinary", "f": "boolean",
    }  # fmt: skip


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    rows=st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
            st.one_of(st.none(), st.floats(allow_nan=False)),
            st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]))),
            st.one_of(st.none(), st.binary()),
            st.one_of(
                st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text("ab"), st.binary()
            ),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_any_value_is_read_as_it_is_stored(rows: list[tuple[Any, ...]], tmp_path: Path) -> None:
    import base64
    import logging
    import sqlite3

    from tap_sqlite.catalog import describe
    from tap_sqlite.choices import Choices, choose
    from tap_sqlite.database import Database
    from tap_sqlite.declared import JSON
    from tap_sqlite.rejects import Rejects
    from tap_sqlite.table import SqliteTable

    path = tmp_path / "h.db"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (i INTEGER, r REAL, t TEXT, b BLOB, x)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
        connection.commit()
        stored = connection.execute("SELECT * FROM t ORDER BY rowid DESC").fetchall()
    connection.close()
    config = {"sync_mode": "full", "key_columns": ["rowid"], "page_size": 3, "page_bytes": 10_000}
    database = Database(path)
    table = describe(database, "t")
    chosen = choose(table, config, lambda _: True)
    columns = tuple(column if column.type else replace(column, type=JSON) for column in chosen.columns)
    source = SqliteTable(
        table,
        Choices(columns, chosen.key, None),
        config,
        database,
        Rejects(0, logging.getLogger()),
        logging.getLogger(),
    )
    from sync_rules.full import KeyRange

    begun, below, found = source.begin(), None, []
    while True:
        page = source.read_page(KeyRange(begun.upper_key or (), below))
        found += [tuple(row.values())[1:] for batch in page.batches for row in batch.to_pylist()]
        if page.last:
            break
        below = page.lowest
    source.close()

    def plain(text: str | None) -> Any:
        value = None if text is None else json.loads(text)
        if isinstance(value, dict):
            return base64.b64decode(value["base64"]) if "base64" in value else float(value["real"])
        return value

    def bits(value: Any) -> Any:
        return struct.pack("d", value) if isinstance(value, float) else value

    assert [tuple(map(bits, (*row[:4], plain(row[4])))) for row in found] == [tuple(map(bits, row)) for row in stored]


def test_a_row_with_a_value_of_another_type_is_rejected_and_named(
    file: Callable[..., Path], tap: Callable[..., Any], tmp_path: Path
) -> None:
    rows: list[tuple[Any, ...]] = [(1, "a"), (2, "b"), ("many", "secret-1"), (2.5, "secret-2"), (3, b"blob"), (4, "c")]
    path = file("CREATE TABLE t (n INTEGER, t TEXT)", {"t": rows})
    run = tap(path, max_rejects=3, reject_file=str(tmp_path / "rejects.jsonl"), page_size=2)
    assert run.code == 0, run.log
    assert [row["n"] for row in run.rows] == [4, 2, 1]
    assert run.of("ACTIVATE_VERSION")[0]["rows"] == 3
    assert "row 3 rejected: n holds text, not bigint" in run.log
    assert "row 5 rejected: t holds blob, not text" in run.log
    assert "3 rows rejected" in run.log
    lines = (tmp_path / "rejects.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == [[5], [4], [3]]
    assert "secret" not in run.log + "".join(lines)
    stopped = tap(path, max_rejects=2)
    assert stopped.code == 8
    assert "off_type_values" in stopped.log
    unwritten = tap(path, max_rejects=3, reject_file=str(tmp_path / "none" / "rejects.jsonl"))
    assert unwritten.code == 2
    assert "rejects.jsonl cannot be written: No such file" in unwritten.log


@pytest.mark.parametrize(
    ("declared", "kind", "good", "odd"),
    [
        ("INT", "bigint", 7, [0.5, "x", b"x"]),
        ("BOOLEAN", "boolean", 1, [2, -1, 0.5, "x", b"x"]),
        ("REAL", "double precision", 0.5, ["x", b"x"]),
        ("NUMERIC", "double precision", 2**53, [2**53 + 1, -(2**53) - 1, "x", b"x"]),
        ("TEXT", "text", "7", [b"x"]),
        ("DATE", "text", "7 s", [7, 0.5, b"x"]),
        ("BLOB", "varbinary", b"7", [7, 0.5, "x"]),
    ],
)
def test_each_kind_that_is_not_its_columns_costs_its_row(
    declared: str, kind: str, good: Any, odd: list[Any], file: Callable[..., Path], tap: Callable[..., Any]
) -> None:
    """Alone in its page too, where no other value tells."""
    path = file(f"CREATE TABLE t (id INTEGER PRIMARY KEY, c {declared})", {"t": list(enumerate([*odd, good, None]))})
    for page_size in (1, 50):
        run = tap(path, max_rejects=len(odd), page_size=page_size, column_types={"c": kind})
        assert run.code == 0, run.log
        assert [(row["id"], row["c"]) for row in run.rows] == [(len(odd) + 1, None), (len(odd), good)]


def test_where_a_declaration_leaves_it_open_the_kind_of_most_values_stays(
    file: Callable[..., Path], tap: Callable[..., Any]
) -> None:
    path = file("CREATE TABLE t (c)", {"t": [(1,), ("x",), (2,)]})
    run = tap(path, max_rejects=1)
    assert (run.code, run.types["c"], [row["c"] for row in run.rows]) == (0, "bigint", [2, 1]), run.log


def test_pages_that_are_rejected_whole_are_passed_over(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    rows = [(1 if i in (1, 20) else "x",) for i in range(1, 21)]
    path = file("CREATE TABLE t (n INTEGER)", {"t": rows})
    run = tap(path, page_size=3, max_rejects=100)
    assert [row["_rowid"] for row in run.rows] == [20, 1]
    assert run.state["bookmarks"]["main-t"]["done"] is True
    state = {"bookmarks": {"main-t": {"mode": "incremental", "cursor": 0, "cursor_column": "_rowid"}}}
    run = tap(path, state, sync_mode="incremental", cursor_column="rowid", page_size=3, max_rejects=18)
    assert (run.code, [row["_rowid"] for row in run.rows]) == (0, [1, 20]), run.log


def test_as_json_each_value_says_what_it_was(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    rows: list[tuple[Any, ...]] = [(1, 1), ("1", 2), (1.5, 3), (b"\0", None), (None, 0)]
    run = tap(file("CREATE TABLE t (n INTEGER, f BOOLEAN)", {"t": rows}), off_type_values="json")
    assert [row["n"] for row in reversed(run.rows)] == ["1", "1", "1.5", '{"base64": "AA=="}', None]
    assert run.types["n"] == "json"
    assert run.types["f"] == "bigint"


@pytest.mark.parametrize(("declared", "values"), [("INT", [1, 1.5]), ("NUMERIC", [2**60, 1.5])])
def test_as_json_no_integer_becomes_a_real(
    declared: str, values: list[Any], file: Callable[..., Path], tap: Callable[..., Any]
) -> None:
    run = tap(file(f"CREATE TABLE t (c {declared})", {"t": [(one,) for one in values]}), off_type_values="json")
    assert [row["c"] for row in reversed(run.rows)] == [json.dumps(one) for one in values], run.log


def test_text_that_is_not_utf8_is_rejected_or_packed(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    path = file("CREATE TABLE t (a TEXT, b); INSERT INTO t VALUES ('ok', 1), (CAST(x'ff41' AS TEXT), 2)")
    run = tap(path, max_rejects=1)
    assert [row["a"] for row in run.rows] == ["ok"]
    assert "text that is not UTF-8" in run.log
    packed = tap(path, off_type_values="json", page_size=1)
    assert [row["a"] for row in packed.rows] == ['{"text_base64": "/0E="}', '"ok"']
    assert (packed.types["a"], packed.types["b"]) == ("json", "bigint")


@pytest.mark.parametrize(
    ("declared", "values", "expected"),
    [
        ("DATETIME", ["2025-01-01", None], "text"),
        ("DATETIME", [1, 2], "bigint"),
        ("DATETIME", [None], "text"),
        ("DECIMAL(10,2)", [1, 2.5], "double precision"),
        ("DECIMAL(10,2)", [None], "double precision"),
        ("", [b"x", None], "varbinary"),
        ("", ["x"], "text"),
        ("NUMERIC", [2**60, 3], "bigint"),
    ],
)
def test_what_a_declaration_leaves_open_is_settled_by_what_is_stored(
    declared: str, values: list[Any], expected: str, file: Callable[..., Path], tap: Callable[..., Any]
) -> None:
    path = file(f"CREATE TABLE t (id INTEGER PRIMARY KEY, c {declared})", {"t": list(enumerate(values))})
    run = tap(path)
    assert run.types["c"] == expected
    assert [row["c"] for row in reversed(run.rows)] == values


def test_records_carry_the_same_values(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY, r REAL, t TEXT)", {"t": [(1, 0.1, "ação"), (2, None, "")]})
    assert tap(path, batch=False).rows == tap(path).rows
    more = file("CREATE TABLE t (r REAL, b BLOB)", {"t": [(math.inf, b"\0"), (-math.inf, None)]}, name="more.db")
    assert [(row["r"], row["b"]) for row in tap(more, batch=False).rows] == [("-Infinity", None), ("Infinity", "AA==")]


def test_generated_columns_are_copied(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    path = file("CREATE TABLE t (n INT, twice INT AS (n * 2), s TEXT AS ('s' || n) STORED)", {"t": [(1,), (2,)]})
    assert [(row["n"], row["twice"], row["s"]) for row in tap(path).rows] == [(2, 4, "s2"), (1, 2, "s1")]


def test_utf16_files(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    path = file("PRAGMA encoding = 'UTF-16be'; CREATE TABLE t (a TEXT)", {"t": [("日本 🎉",), ("",)]})
    assert [row["a"] for row in tap(path).rows] == ["", "日本 🎉"]
