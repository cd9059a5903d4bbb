"""Incremental syncs of the tap as a user runs it, over every kind of cursor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

Make = Callable[..., None]


def test_it_takes_over_from_the_full_sync(source: Any, table: Make) -> None:
    """SPEC I3."""
    table("dbo.live", "id int NOT NULL PRIMARY KEY, mod_ts datetime2(7) NOT NULL", "(1, SYSDATETIME())")
    full = source.tap(tables=["dbo.live"])
    source.execute("INSERT INTO dbo.live VALUES (2, SYSDATETIME())", "UPDATE dbo.live SET mod_ts = SYSDATETIME()")
    first = source.tap(tables=["dbo.live"], sync_mode="incremental", state=full.state)
    assert sorted(record["id"] for record in first.records) == [1, 2]
    assert "the last full sync's start" in first.log
    assert first.state["bookmarks"]["dbo-live"]["mode"] == "incremental"


def test_it_takes_over_where_rows_are_stamped_by_a_clock_behind(source: Any, table: Make) -> None:
    """SPEC I3. Local time stamped by an application, on a server in UTC: a lookback from its clock misses hours."""
    table("dbo.behind", "id int NOT NULL PRIMARY KEY, v int, mod_ts datetime2(7) NULL")
    source.execute(
        "CREATE INDEX behind_mod_ts ON dbo.behind (mod_ts)",
        "INSERT INTO dbo.behind SELECT 1, 1, DATEADD(hour, -4, SYSDATETIME())",
        "INSERT INTO dbo.behind SELECT 2, 1, DATEADD(hour, 4, SYSDATETIME())",
    )
    full = source.tap(tables=["dbo.behind"])
    assert "the newest mod_ts is further behind the source's clock than the lookback" in full.log
    source.execute("UPDATE dbo.behind SET v = 2, mod_ts = DATEADD(hour, -3, SYSDATETIME()) WHERE id = 1")
    first = source.tap(tables=["dbo.behind"], sync_mode="incremental", state=full.state)
    assert [(record["id"], record["v"]) for record in first.records] == [(1, 2)]


def test_it_takes_over_from_tables_that_were_empty(source: Any, table: Make) -> None:
    """SPEC I3. No stamp tells how far behind the clock is that stamps: whatever comes is read."""
    kinds = ("datetime", "smalldatetime", "datetime2(7)", "date", "datetimeoffset(3)")
    names = {f"dbo.begun{number}": kind for number, kind in enumerate(kinds)}
    for name, kind in names.items():
        table(name, f"id int NOT NULL PRIMARY KEY, mod_ts {kind} NOT NULL")
        source.execute(f"CREATE INDEX begun_mod_ts ON {name} (mod_ts)")
    full = source.tap(tables=list(names))
    for name, kind in names.items():
        source.execute(f"INSERT INTO {name} SELECT 1, CAST(DATEADD(day, -3, SYSDATETIME()) AS {kind})")
    first = source.tap(tables=list(names), sync_mode="incremental", state=full.state)
    for name, kind in names.items():
        assert ids(first, name) == [1], f"{kind}: {first.log}"


def test_a_start_before_the_types_first_day(source: Any, table: Make) -> None:
    table("dbo.old", "id int NOT NULL PRIMARY KEY, mod_ts datetime NOT NULL", "(1, '2024-03-01')")
    run = source.tap(tables=["dbo.old"], sync_mode="incremental", start_date="1753-01-01", lookback_minutes=60)
    assert ids(run, "dbo.old") == [1], run.log


KINDS = ["datetime", "smalldatetime", "date", "datetime2(0)", "datetime2(3)", "datetime2(7)", "datetimeoffset(7)"]


def test_each_kind_of_cursor(source: Any, table: Make) -> None:
    """SPEC I1, I4, I5: ten rows a stamp, three rows a page."""
    stamps = ["2024-02-29 23:59:00", "2024-03-01 00:00:00", "2024-03-02 10:00:00"]
    names = {f"dbo.stamped{number}": kind for number, kind in enumerate(KINDS)}
    for name, kind in names.items():
        rows = [f"({n}, CAST('{stamps[n % 3]}' AS {kind}))" for n in range(30)]
        table(name, f"id int NOT NULL PRIMARY KEY, mod_ts {kind} NULL", *rows, "(99, NULL)")
    settings = {"tables": list(names), "sync_mode": "incremental", "lookback_minutes": 0}
    first = source.tap(start_date="2024-03-01", page_size=3, **settings)
    assert first.exit_code == 0, first.log
    again = source.tap(state=first.state, **settings)
    assert again.exit_code == 0, again.log
    for name, kind in names.items():
        assert sorted(ids(first, name)) == [n for n in range(30) if n % 3], kind
        assert sorted(ids(again, name)) == [n for n in range(30) if n % 3 == 2], kind
        assert f"{name}: rows without a value in mod_ts: 1;" in first.log


def test_a_run_that_was_cut_short_goes_on_within_its_window(source: Any, table: Make) -> None:
    """SPEC I9: thirty rows of one stamp, cut short after twelve; and a row that came since."""
    names = {f"dbo.cut{number}": kind for number, kind in enumerate(KINDS)}
    for name, kind in names.items():
        rows = [f"({n}, CAST('2024-03-01 10:00:00' AS {kind}))" for n in range(30)]
        table(name, f"id int NOT NULL PRIMARY KEY, mod_ts {kind} NOT NULL", *rows)
    settings = {"tables": list(names), "sync_mode": "incremental", "start_date": "2024-01-01", "page_size": 3}
    cut = _bookmarks_after(12, source.tap(**settings))
    assert len(cut) == len(names)
    source.execute(
        *(f"INSERT INTO {name} VALUES (99, CAST('2024-03-01 10:00' AS {kind}))" for name, kind in names.items())
    )
    again = source.tap(state={"bookmarks": cut}, **settings)
    assert again.exit_code == 0, again.log
    assert again.log.count("what a run that was cut short had left is read") == len(names)
    for name, kind in names.items():
        assert ids(again, name)[:19] == [*range(12, 30), 99], kind
        assert again.state["bookmarks"][name.replace(".", "-")]["unfinished"] is None


def test_a_bookmark_ahead_of_its_row_versions_is_told(source: Any, table: Make) -> None:
    """SPEC O2: after a restore the versions between are given once more, and would not be read."""
    table("dbo.counted", "id int NOT NULL PRIMARY KEY, ver rowversion")
    source.execute("INSERT INTO dbo.counted (id) VALUES (1)")
    settings = {"tables": ["dbo.counted"], "cursor_column": "ver"}
    for mode, field in (("incremental", "cursor"), ("full", "cursor_at_start")):
        state = source.tap(sync_mode=mode, **settings).state
        for cursor, words in ((10**12, "was restored"), ("2024-01-01T00:00:00", "whose type has changed")):
            state["bookmarks"]["dbo-counted"][field] = cursor
            run = source.tap(sync_mode="incremental", state=state, **settings)
            assert run.exit_code == 2, run.log
            assert words in run.log


def _bookmarks_after(rows: int, run: Any) -> dict[str, Any]:
    """Each stream's bookmark as it was sent when that stream had given so many rows."""
    given, found = Counter[str](), {}
    for message in run.messages:
        if message["type"] == "RECORD":
            given[message["stream"]] += 1
        elif message["type"] == "STATE":
            found |= {n: b for n, b in message["value"]["bookmarks"].items() if given[n] == rows and n not in found}
    return found


def ids(run: Any, name: str) -> list[int]:
    stream = name.replace(".", "-")
    return [message["record"]["id"] for message in run.of("RECORD") if message["stream"] == stream]


def test_a_counter_is_a_cursor(source: Any, table: Make) -> None:
    """SPEC I3, I5: a row version, which the server counts up, and a number that the application counts up."""
    table("dbo.counted", "id int NOT NULL PRIMARY KEY, ver rowversion, n bigint NOT NULL")
    source.execute("INSERT INTO dbo.counted (id, n) VALUES (1, 1), (2, 2), (3, 3)")
    for cursor in ("ver", "n"):
        settings = {"tables": ["dbo.counted"], "cursor_column": cursor}
        full = source.tap(**settings)
        assert full.exit_code == 0, full.log
        source.execute("UPDATE dbo.counted SET n = n + 10 WHERE id = 2")
        changed = source.tap(sync_mode="incremental", state=full.state, page_size=1, **settings)
        assert changed.exit_code == 0, changed.log
        assert 2 in ids(changed, "dbo.counted")
        assert 1 not in ids(changed, "dbo.counted")
        assert 2 in ids(source.tap(sync_mode="incremental", state=changed.state, **settings), "dbo.counted")


def test_a_counter_that_begins_below_zero(source: Any, table: Make) -> None:
    """SPEC I3: of an empty table none stands at 0, or rows numbered from the type's lowest value would lie below."""
    settings = {"cursor_column": "n"}
    for kind, first in (("int", -(2**31)), ("bigint", -(2**63)), ("smallint", -3), ("tinyint", 0)):
        name = f"dbo.below_{kind}"
        table(name, f"id int NOT NULL PRIMARY KEY, n {kind} NOT NULL")
        full = source.tap(tables=[name], **settings)
        source.execute(f"INSERT INTO {name} VALUES (1, {first}), (2, {first + 1}), (3, {first + 2})")
        changed = source.tap(tables=[name], sync_mode="incremental", state=full.state, **settings)
        assert ids(changed, name) == [1, 2, 3], changed.log
        assert "below the bookmark" not in changed.log


def test_a_number_that_fell_below_the_bookmark_is_warned_of(source: Any, table: Make) -> None:
    """Its newest row may have been deleted, or a backup restored: nobody can tell."""
    table("dbo.counted", "id int NOT NULL PRIMARY KEY, n bigint NOT NULL", "(1, 1)", "(2, 9)")
    settings = {"tables": ["dbo.counted"], "cursor_column": "n", "sync_mode": "incremental", "start_date": None}
    full = source.tap(**{**settings, "sync_mode": "full"})
    changed = source.tap(state=full.state, **settings)
    assert "below the bookmark" not in changed.log
    source.execute("DELETE FROM dbo.counted WHERE id = 2")
    fell = source.tap(state=changed.state, **settings)
    assert fell.exit_code == 0, fell.log
    assert "dbo.counted: n stands at 1, below the bookmark 9" in fell.log
    source.execute("INSERT INTO dbo.counted VALUES (3, 10)")
    assert 3 in ids(source.tap(state=fell.state, **settings), "dbo.counted")


def test_rows_stamped_after_the_clock_wait(source: Any, table: Make) -> None:
    """SPEC I1."""
    table("dbo.live", "id int NOT NULL PRIMARY KEY, mod_ts datetime2(7) NOT NULL", "(1, '2999-01-01')")
    assert source.tap(tables=["dbo.live"], sync_mode="incremental", start_date="2024-01-01").records == []


def test_a_table_without_a_cursor_is_refused(source: Any, table: Make) -> None:
    """SPEC O2."""
    table("dbo.still", "id int NOT NULL PRIMARY KEY")
    run = source.tap(tables=["dbo.still"], sync_mode="incremental")
    assert run.exit_code == 2
    assert "dbo.still: an incremental sync needs cursor_column" in run.log


@pytest.mark.parametrize("kind", ["bigint", "rowversion"])
def test_no_date_is_the_start_of_what_counts(source: Any, table: Make, kind: str) -> None:
    """It was passed over in silence, and the sync started from now."""
    table("dbo.counted", f"id int NOT NULL PRIMARY KEY, c {kind} NOT NULL")
    settings = {"tables": ["dbo.counted"], "cursor_column": "c", "start_date": "2024-01-01"}
    run = source.tap(sync_mode="incremental", **settings)
    assert run.exit_code == 2
    assert "dbo.counted: start_date is a time, and c counts" in run.log
    assert source.tap(**settings).exit_code == 0
