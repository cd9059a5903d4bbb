"""Incremental syncs by text times, numbers and counters."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sync_rules.incremental import Window
from tap_sqlite.table import SqliteTable

TIMES = ["2025-01-01 00:00:00", "2025-01-01 00:00:01", "2025-01-01 00:00:01", "2025-01-01 00:00:02", None]


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets this process's time zone."""

    def set_(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("declared", "values", "late", "config"),
    [
        ("TEXT", TIMES, "2025-06-01 00:00:00", {"start_date": "2024-01-01T00:00:00"}),
        (
            "TEXT",
            [t and t.replace(" ", "T") + "Z" for t in TIMES],
            "2025-06-01T00:00:00Z",
            {"start_date": "2024-01-01T00:00:00Z"},
        ),
        ("INTEGER", [1, 2, 2, 3, None], 9, {"cursor_unit": "counter"}),
        ("REAL", [1.5, 2.25, 2.25, 3.125, None], 1e9, {"cursor_unit": "seconds"}),
    ],
)
def test_only_what_changed(
    declared: str,
    values: list[Any],
    late: Any,
    config: dict[str, Any],
    file: Callable[..., Path],
    tap: Callable[..., Any],
) -> None:
    path = file(f"CREATE TABLE t (id INTEGER PRIMARY KEY, c {declared})", {"t": list(enumerate(values))})
    given = {"cursor_column": "c", "lookback_minutes": 0, "page_size": 1, **config}
    full = tap(path, sync_mode="full", **given)
    assert len(full.rows) == 5
    first = tap(path, sync_mode="incremental", **given)
    if declared == "TEXT":  # with a start date; numbers begin at the clock's now where no full sync went before
        assert [row["id"] for row in first.rows] == [0, 1, 2, 3]
    assert "rows without a value in c: 1;" in first.log
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE t SET c = ? WHERE id = 1", (late,))
    connection.close()
    state = first.state if declared == "TEXT" else full.state
    if declared == "REAL":
        state["bookmarks"]["main-t"]["cursor_at_start"] = 3_125_000
    second = tap(path, state, sync_mode="incremental", **given)
    assert second.code == 0, second.log
    assert 1 in [row["id"] for row in second.rows]
    assert 0 not in [row["id"] for row in second.rows]


@pytest.mark.parametrize(
    ("text", "words"), [("yesterday", "no ISO 8601 time"), ("2025-01-01 00:00:00+03:00", "an offset other than UTC")]
)
def test_a_column_that_holds_no_times_is_refused(
    text: str, words: str, file: Callable[..., Path], tap: Callable[..., Any]
) -> None:
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT)", {"t": [(1, text)]})
    run = tap(path, sync_mode="incremental", cursor_column="c")
    assert (run.code, words in run.log) == (2, True), run.log
    assert tap(path, sync_mode="incremental").code == 2
    keyless = tap(path, sync_mode="incremental", cursor_column="id", key_columns=[])
    assert (keyless.code, "needs a key: set key_columns" in keyless.log) == (2, True), keyless.log


@pytest.mark.parametrize(
    ("good", "others"),
    [
        ("2025-01-05", ["2025-01-00", "2025-01-04x", "0000-01-04", "2024-13-01", "2024-06-31"]),
        ("2025-01-05 10:00", ["2025-01-04 24:00", "2025-01-04 10:60", "2024-06-31 10:00"]),
        ("2025-01-05T10:00:00.5Z", ["2025-01-04T10:00:61Z", "2025-01-04T10:00:00.1.5Z", "2025-01-04T10:00:00 1Z"]),
        ("2025-01-05T10:00:00+0000", ["2024-06-31T10:00:00+0000", "2025-01-04T24:00:00.5+0000"]),
    ],
)
def test_a_text_of_the_style_that_is_no_moment_is_no_cursor(
    good: str, others: list[str], file: Callable[..., Path], tap: Callable[..., Any]
) -> None:
    """SPEC I5. No bookmark can stand there, wherever a page ends."""
    rows = list(enumerate([good, *others]))
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT)", {"t": rows})
    run = tap(path, sync_mode="incremental", cursor_column="c", page_size=1, start_date="0001-01-01T00:00:00")
    assert (run.code, [row["id"] for row in run.rows]) == (0, [0]), run.log
    assert f"rows without a value in c: {len(others)};" in run.log


@pytest.mark.parametrize(
    ("declared", "unit", "a_second", "ticks", "less"),
    [
        ("INT", "seconds", 1, 1, 1),
        ("INT", "milliseconds", 1_000, 1_000, 1),
        ("INT", "microseconds", 1_000_000, 1_000_000, 1),
        ("REAL", "seconds", 1, 1_000_000, 0.001),
        ("REAL", "milliseconds", 1_000, 1_000_000, 0.5),
    ],
)
def test_what_a_number_counts_is_its_lookbacks_and_its_clocks_unit(
    declared: str,
    unit: str,
    a_second: int,
    ticks: int,
    less: float,
    file: Callable[..., Path],
    opened: Callable[..., SqliteTable],
) -> None:
    end = 1_735_689_600
    first = (end - 30 * 60) * a_second
    rows = [(1, first - less), (2, first), (3, end * a_second), (4, end * a_second + less)]
    source = opened(
        file(f"CREATE TABLE t (id INTEGER PRIMARY KEY, c {declared})", {"t": rows}),
        sync_mode="incremental", cursor_column="c", cursor_unit=unit, lookback_minutes=30, page_size=9,
    )  # fmt: skip
    page = source.read_cursor_page(Window(end * ticks, end * ticks))
    assert [row["id"] for batch in page.batches for row in batch.to_pylist()] == [2, 3]
    before, now, after = time.time() * ticks, source.clock().now, time.time() * ticks
    assert int(before) - 1 <= int(now) <= after
    source.close()


@pytest.mark.parametrize(
    ("text", "clock", "hours"),
    [("2025-01-01 00:00:00", "local", -3), ("2025-01-01 00:00:00", "utc", 0), ("2025-01-01T00:00:00Z", "local", 0)],
)
def test_times_without_an_offset_are_of_the_clock_that_is_set(
    text: str,
    clock: str,
    hours: int,
    file: Callable[..., Path],
    opened: Callable[..., SqliteTable],
    zone: Callable[[str], None],
) -> None:
    zone("<-03>3")
    source = opened(
        file("CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT)", {"t": [(1, text)]}),
        sync_mode="incremental", cursor_column="c", cursor_clock=clock,
    )  # fmt: skip
    before = datetime.now(tz=timezone.utc)
    found = source.clock()
    read = datetime.fromisoformat(str(found.now)).replace(tzinfo=timezone(timedelta(hours=hours)))
    assert before <= read <= datetime.now(tz=timezone.utc)
    assert found.utc_offset_minutes == hours * 60
    source.close()


def test_an_older_file_is_told(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT)", {"t": [(1, "2025-01-01 00:00:00")]})
    run = tap(path, sync_mode="incremental", cursor_column="c", start_date="2025-06-01T00:00:00", lookback_minutes=0)
    assert (run.code, "its newest c is older than where the last sync ended" in run.log) == (0, True), run.log


def test_a_counter_that_fell_back_is_refused(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)", {"t": [(i, 0) for i in range(1, 6)]})
    given = {"cursor_column": "id", "cursor_unit": "counter"}
    full = tap(path, sync_mode="full", **given)
    first = tap(path, full.state, sync_mode="incremental", **given)
    assert first.code == 0, first.log
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM t WHERE id > 3")
    connection.close()
    for state in (full.state, first.state):
        run = tap(path, state, sync_mode="incremental", **given)
        assert (run.code, "run a full sync" in run.log) == (2, True), run.log


@pytest.mark.parametrize("passed", [False, True])
def test_numbers_given_anew_are_gone_on_from_where_the_full_sync_after_them_began(
    passed: bool, file: Callable[..., Path], tap: Callable[..., Any], tmp_path: Path
) -> None:
    """SPEC I11. Also where the numbers have passed the old bookmark before the next run."""
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)", {"t": [(i, i) for i in range(1, 6)]})
    meltano = tmp_path / "meltano"
    settings = {"cursor_column": "n", "full_sync_state_id": "dev:full", "meltano_executable": str(meltano)}

    def write(sql: str) -> None:
        with sqlite3.connect(path) as connection:
            connection.executescript(sql)
        connection.close()

    def full() -> None:
        state = tap(path, sync_mode="full", **settings).state
        meltano.write_text(f"#!/bin/sh\necho '{json.dumps(state)}'\n")
        meltano.chmod(0o700)

    def incremental(state: dict[str, Any]) -> Any:
        return tap(path, state, sync_mode="incremental", **settings)

    full()
    bookmark = incremental({})
    assert [row["n"] for row in bookmark.rows] == [5], bookmark.log
    assert [row["n"] for row in incremental(bookmark.state).rows] == [5], "no newer full sync: the bookmark holds"
    write("DELETE FROM t; INSERT INTO t VALUES (1, 1), (2, 2)")
    for state in ({}, bookmark.state):
        refused = incremental(state)
        assert (refused.code, "run a full sync" in refused.log) == (2, True), refused.log
    full()
    write("INSERT INTO t VALUES (3, 3)" + ("; INSERT INTO t VALUES (4, 4), (7, 7)" if passed else ""))
    run = incremental(bookmark.state)
    assert run.code == 0, run.log
    assert [row["n"] for row in run.rows] == ([2, 3, 4, 7] if passed else [2, 3])
    write("INSERT INTO t VALUES (8, 8)")
    assert [row["n"] for row in incremental(run.state).rows] == ([7, 8] if passed else [3, 8])


def test_reals_need_a_unit(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY, c REAL)", {"t": [(1, 1.5)]})
    run = tap(path, sync_mode="incremental", cursor_column="c")
    assert (run.code, "cursor_unit" in run.log) == (2, True)


def test_texts_of_another_zone_and_of_the_future_are_told(file: Callable[..., Path], tap: Callable[..., Any]) -> None:
    times = ["2025-01-01 00:00:00", "2025-01-01 00:00:01Z", "2025-01-01 00:00:02+03:00", "2999-01-01 00:00:00"]
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT)", {"t": list(enumerate(times))})
    run = tap(path, sync_mode="incremental", cursor_column="c", start_date="2024-01-01T00:00:00")
    assert [row["id"] for row in run.rows] == [0]
    assert "rows without a value in c: 2;" in run.log
    assert "1 rows have a c later" in run.log


def test_large_values_make_small_pages_of_an_incremental_too(
    file: Callable[..., Path], tap: Callable[..., Any]
) -> None:
    path = file(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT, b BLOB)",
        {"t": [(i, "2025-01-01 00:00:00", bytes(100_000)) for i in range(40)]},
    )
    given = {"cursor_column": "c", "start_date": "2024-01-01T00:00:00"}
    run = tap(path, sync_mode="incremental", page_bytes=500_000, **given)
    assert len(run.rows) == 40
    assert len(run.of("BATCH")) >= 8


@pytest.mark.parametrize(
    ("declared", "stamp", "config"),
    [
        ("TEXT", "2025-01-01 00:00:00", {"start_date": "2024-01-01T00:00:00"}),
        ("INTEGER", 1_735_689_600, {"cursor_unit": "seconds"}),
        ("REAL", 1_735_689_600.5, {"cursor_unit": "seconds"}),
    ],
)
def test_a_run_that_was_cut_short_goes_on_within_its_window(
    declared: str, stamp: Any, config: dict[str, Any], file: Callable[..., Path], tap: Callable[..., Any]
) -> None:
    """SPEC I9: twelve rows of one stamp, cut short after the fourth page."""
    path = file(f"CREATE TABLE t (id INTEGER PRIMARY KEY, c {declared})", {"t": [(n, stamp) for n in range(12)]})
    given = {"cursor_column": "c", "page_size": 2, "sync_mode": "incremental", **config}
    low = tap(path, sync_mode="full", **{name: value for name, value in given.items() if name != "sync_mode"}).state
    bookmark = low["bookmarks"]["main-t"]
    bookmark["cursor_at_start"] = stamp if declared == "TEXT" else int(stamp * 1_000_000)
    if declared == "INTEGER":
        bookmark["cursor_at_start"] = stamp
    first = tap(path, low, **given)
    assert [row["id"] for row in first.rows] == list(range(12)), first.log
    second = tap(path, dict(first.of("STATE")[3]["value"]), **given)
    assert second.code == 0, second.log
    assert [row["id"] for row in second.rows][:4] == list(range(8, 12))


@pytest.mark.parametrize("lookback", [0, 30])
@pytest.mark.parametrize("style", ["%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])
def test_a_change_of_the_day_or_second_in_which_the_last_sync_began_is_read(
    style: str, lookback: int, file: Callable[..., Path], tap: Callable[..., Any]
) -> None:
    """A date is less, as text, than any moment of its day."""
    long_ago = datetime(2024, 2, 3, 4, 5, 6).strftime(style)
    path = file("CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT)", {"t": [(1, long_ago), (2, long_ago)]})

    def change(row: int, moment: datetime) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE t SET c = ? WHERE id = ?", (moment.strftime(style), row))
        connection.close()

    settings = {"cursor_column": "c", "lookback_minutes": lookback}
    state = tap(path, sync_mode="full", **settings).state
    change(1, datetime.fromisoformat(state["bookmarks"]["main-t"]["cursor_at_start"]))
    for row in (1, 2):
        run = tap(path, state, sync_mode="incremental", **settings)
        assert run.code == 0, run.log
        assert row in [row["id"] for row in run.rows], run.log
        state = run.state
        change(2, datetime.fromisoformat(state["bookmarks"]["main-t"]["clock"]))
    # A run of yesterday's end: what yesterday's last seconds brought, and today's.
    night = datetime.fromisoformat(state["bookmarks"]["main-t"]["clock"][:10]) - timedelta(seconds=1)
    state["bookmarks"]["main-t"] |= {"clock": night.isoformat(), "cursor": night.isoformat()}
    change(1, night)
    change(2, night + timedelta(seconds=1))
    assert {row["id"] for row in tap(path, state, sync_mode="incremental", **settings).rows} == {1, 2}


@pytest.mark.parametrize(
    ("key", "words"), [("NULL", "its key is NULL"), ("'b'", "not of its column's type"), ("1", "is not unique")]
)
def test_a_key_that_is_none_since_the_full_sync_is_refused(
    key: str, words: str, file: Callable[..., Path], tap: Callable[..., Any]
) -> None:
    path = file("CREATE TABLE t (k INT, u INTEGER); INSERT INTO t VALUES (1, 1)")
    settings: dict[str, Any] = {"key_columns": ["k"], "cursor_column": "u"}
    full = tap(path, **settings)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"INSERT INTO t VALUES ({key}, 2)")
        connection.commit()
    run = tap(path, full.state, sync_mode="incremental", **settings)
    assert (run.code, run.rows, words in run.log) == (2, [], True), run.log
