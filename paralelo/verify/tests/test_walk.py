"""The quick and the deep walk over a table, on sides that are in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from sync_rules.column_types import ColumnType
from sync_rules.exits import SourceUnreachable

from paralelo.verify import deep, merging, quick, segments, table
from paralelo.verify import tally as tallies
from paralelo.verify.deep import Sides
from paralelo.verify.segments import TableSegment, position
from paralelo.verify.sides import Measured
from paralelo.verify.table import Options
from paralelo.verify.tally import Tally
from paralelo.verify.tests.memory import MOMENT, TABLE, MemorySide, rows

START = datetime(2024, 5, 1)
ROWS = 20_000


def values(count: Any = ROWS) -> Any:
    return [
        {"id": 3 * number, "n": number % 7, "t": f"text {number}", "mod_ts": START + timedelta(seconds=number)}
        for number in range(1, count + 1)
    ]


def planted() -> Any:
    """Both sides, and what differs: the first, a middle and the last row missing, one extra, two different."""
    source = values()
    target = [dict(row) for row in source if row["id"] not in (3, 30_000, 3 * ROWS)]
    target.append({"id": 100, "n": 1, "t": "stray", "mod_ts": START})
    by_id = {row["id"]: row for row in target}
    by_id[300]["t"] = None
    by_id[45_000]["n"] += 1
    return rows(TABLE, source), rows(TABLE, target)


def keys_of(tally: Any, kind: Any) -> Any:
    return sorted(int(found.key[0]) for found in tally.differences if found.kind == kind)


def sides_of(left: Any, right: Any) -> tuple[Sides, MemorySide, MemorySide]:
    source, target = left, right
    return Sides(source, target), source, target


def whole(side: Any) -> Any:
    bounds = side.bounds(TABLE, counted=True)
    return TableSegment(TABLE, least=bounds.least, most=bounds.most)


def tally_of(settled: Any = None) -> Any:
    return Tally(TABLE, cuts=(10_000, 40_000), settled=settled, keep=100)


def test_quick_finds_every_difference_and_reads_little() -> None:
    left, right = planted()
    sides, source, _ = sides_of(MemorySide(left, 500), MemorySide(right, 500))
    first, leaves = quick.survey(sides, whole(sides.source), parallel=2)
    tally = tally_of()
    deep.compare_segments(sides, [found.segment for found in leaves], tally, parallel=2, rows=1)
    assert keys_of(tally, "missing") == [3, 30_000, 3 * ROWS]
    assert keys_of(tally, "extra") == [100]
    assert keys_of(tally, "different") == [300, 45_000]
    assert sum(found.source_rows for found in first) == ROWS
    assert source.rows_read < ROWS / 4


@pytest.mark.parametrize("parallel", [1, 3])
def test_deep_finds_every_difference_and_says_where(parallel: Any) -> None:
    left, right = planted()
    sides = Sides(MemorySide(left, 700), MemorySide(right, 300))
    tally = tally_of()
    deep.compare_segments(sides, whole(sides.source).split(parallel), tally, parallel=parallel, rows=ROWS)
    assert tally.counts == {"missing": 3, "extra": 1, "different": 2}
    assert tally.columns == {"t": 1, "n": 1}
    assert tally.rows == {"source": ROWS, "target": ROWS - 2}
    assert tally.by_bucket["missing"].tolist() == [1, 1, 1]
    assert tally.by_bucket["different"].tolist() == [1, 0, 1]


def test_equal_tables_are_equal() -> None:
    side = MemorySide(rows(TABLE, values(100)))
    sides = Sides(side, side)
    first, leaves = quick.survey(sides, whole(side), parallel=2)
    assert first
    assert not leaves


def test_empty_tables_are_equal() -> None:
    sides = Sides(MemorySide(rows(TABLE, [])), MemorySide(rows(TABLE, [])))
    first, leaves = quick.survey(sides, TableSegment(TABLE), parallel=4)
    assert len(first) == 1
    assert not leaves


class Broken(MemorySide):
    """The rows above the first range cannot be read, and those of the first are long in coming."""

    def read(self, segment: TableSegment, since: str | None, *, ordered: bool) -> Iterator[pa.RecordBatch]:
        if segment.range.lower is not None:
            raise SourceUnreachable("gone")
        for batch in super().read(segment, since, ordered=ordered):
            time.sleep(0.01)
            yield batch


def test_an_error_ends_the_comparison_of_other_ranges_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "_BLOCK_ROWS", 10)
    both = rows(TABLE, values())
    sides, source, _ = sides_of(Broken(both, 10), MemorySide(both, 10))
    parts = whole(sides.source).split(4)
    with pytest.raises(SourceUnreachable, match="gone"):
        deep.compare_segments(sides, parts, tally_of(), parallel=2, rows=ROWS)
    assert source.rows_read < ROWS / 4 - 10


class Unreachable(MemorySide):
    """It is measured once, and then no more."""

    asked = 0

    def measure(self, segment: TableSegment, cuts: Sequence[int], since: str | None) -> Measured:
        self.asked += 1
        if self.asked == 2:
            raise SourceUnreachable("gone")
        time.sleep(0.1)
        return super().measure(segment, cuts, since)


def test_an_error_of_one_side_is_the_last_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "_LEAF_ROWS", 10)
    sides, source, _ = sides_of(Unreachable(rows(TABLE, values())), MemorySide(rows(TABLE, values()).slice(0, 0)))
    with pytest.raises(SourceUnreachable, match="gone"):
        quick.survey(sides, whole(sides.source), parallel=1)
    assert source.asked < 1 + segments.SPLIT_FACTOR


@pytest.mark.parametrize("copied", [START - timedelta(days=1), None])
def test_a_row_younger_than_the_lookback_is_looked_at_again(copied: datetime | None) -> None:
    source = values(50)
    target = [dict(row) for row in source]
    young, late = source[-1], source[-2]
    # Its copy is on the way: by the second look it has arrived. The other's has not.
    target[-1]["mod_ts"] = copied
    target[-1]["n"] = 99
    del target[-2]
    # Both cursors agree: no later sync would mend this one, however young it is.
    young_but_wrong = target[-4]
    young_but_wrong["n"] = 99
    sides, _, there = sides_of(MemorySide(rows(TABLE, source)), MemorySide(rows(TABLE, target)))
    tally = tally_of(settled=position(START + timedelta(seconds=40)))
    deep.compare_segments(sides, [whole(sides.source)], tally, parallel=1, rows=50)
    assert tally.pending_rows == 2
    there.table = rows(TABLE, [*[r for r in target if r["id"] != young["id"]], young])
    deep.look_again(sides, tally)
    assert tally.unsettled == 1
    assert tally.counts == {"missing": 0, "extra": 0, "different": 1}
    assert keys_of(tally, "different") == [young_but_wrong["id"]]
    assert late["id"] not in [int(found.key[0]) for found in tally.differences]


def test_an_old_row_is_never_set_aside() -> None:
    source = values(50)
    # Nobody knows when this one changed: no sync by its cursor would bring it.
    source[1]["mod_ts"] = None
    sides = Sides(MemorySide(rows(TABLE, source)), MemorySide(rows(TABLE, source[2:])))
    tally = tally_of(settled=position(START + timedelta(seconds=40)))
    deep.compare_segments(sides, [whole(sides.source)], tally, parallel=1, rows=50)
    assert keys_of(tally, "missing") == [3, 6]


def test_more_young_rows_than_memory_may_hold_are_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "_PENDING_LIMIT", 2)
    source = values(50)
    sides = Sides(MemorySide(rows(TABLE, source)), MemorySide(rows(TABLE, source[:45])))
    tally = tally_of(settled=position(START))
    deep.compare_segments(sides, [whole(sides.source)], tally, parallel=1, rows=50)
    assert (tally.pending_rows, tally.unsettled, sum(tally.counts.values())) == (0, 5, 0)


@pytest.mark.parametrize(
    ("unsettled", "there", "few"),
    [(0, 0, True), (1, 1, False), (2, 4, True), (3, 4, False), (20, 100, True), (21, 100, False), (51, 1000, False)],
)
def test_how_many_rows_may_be_left_unjudged(unsettled: int, there: int, few: bool) -> None:
    tally = tally_of()
    tally.leave(unsettled)
    assert table._few_unsettled(tally, there) is few


class Clocks:
    """A source whose own time is three hours behind UTC."""

    def clock(self, zone: str) -> str:
        return "2024-05-01T15:00:00.0000000" if zone == "utc" else "2024-05-01T12:00:00.0000000"


def test_rows_are_young_by_the_clock_that_stamps_them() -> None:
    source: Any = Clocks()
    instant = replace(TABLE, cursor=replace(MOMENT, kind=ColumnType("timestamp with time zone", precision=6)))
    for options, of, hour in (
        (Options(settle_seconds=3600), TABLE, 12),
        (Options(settle_seconds=3600, cursor_clock="utc"), TABLE, 15),
        (Options(settle_seconds=3600), instant, 15),
    ):
        assert table._settled(source, of, options) == position(datetime(2024, 5, 1, hour - 1))
    # Which of them stamps the cursor may have been left unsaid: nothing is ahead of the later one.
    assert table._now(source) == position(datetime(2024, 5, 1, 15))


def test_counts_go_on_when_differences_are_no_longer_told() -> None:
    sides = Sides(MemorySide(rows(TABLE, values(500))), MemorySide(rows(TABLE, [])))
    tally = Tally(TABLE, cuts=(), settled=None, keep=5)
    deep.compare_segments(sides, [whole(sides.source)], tally, parallel=1, rows=500)
    assert tally.counts["missing"] == 500
    assert keys_of(tally, "missing") == [3, 6, 9, 12, 15]


def test_rows_copied_between_the_two_readings_are_looked_at_again() -> None:
    source = values(50)
    late = {"id": 500, "n": 1, "t": "late", "mod_ts": START + timedelta(seconds=60)}
    # As if the source had been read before a row was added and another changed, the target after both were copied.
    changed = {**source[4], "n": 99, "mod_ts": START + timedelta(seconds=61)}
    target = [*source[:4], changed, *source[5:], late]
    here = MemorySide(rows(TABLE, source))
    sides = Sides(here, MemorySide(rows(TABLE, target)))
    tally = tally_of(settled=position(START + timedelta(seconds=40)))
    deep.compare_segments(sides, [whole(sides.target)], tally, parallel=1, rows=50)
    assert (tally.pending_rows, sum(tally.counts.values())) == (2, 0)
    here.table = rows(TABLE, target)
    deep.look_again(sides, tally)
    assert (tally.unsettled, sum(tally.counts.values())) == (0, 0)


def test_a_cursor_ahead_of_the_source_is_judged() -> None:
    source = values(50)
    ahead = START + timedelta(days=20_000)
    target = [dict(row) for row in source]
    source[3]["mod_ts"] = source[4]["mod_ts"] = ahead
    sides = Sides(MemorySide(rows(TABLE, source)), MemorySide(rows(TABLE, target[:4] + target[5:])))
    tally = tally_of(settled=position(START + timedelta(seconds=40)))
    deep.compare_segments(sides, [whole(sides.source)], tally, parallel=1, rows=50)
    deep.look_again(sides, tally, lambda: position(START + timedelta(days=1)))
    assert tally.unsettled == 0
    assert tally.counts == {"missing": 1, "extra": 0, "different": 1}


class Forgetful(MemorySide):
    """It has rows that it does not find by their key."""

    def read_keys(self, table: Any, keys: Any) -> Any:
        return super().read_keys(table, keys).slice(0, 0)


def test_a_row_that_is_not_found_again_is_neither_extra_nor_forgotten() -> None:
    source = values(50)
    source[3]["mod_ts"] += timedelta(minutes=2)
    sides = Sides(Forgetful(rows(TABLE, source)), MemorySide(rows(TABLE, values(50)[:-1])))
    tally = tally_of(settled=position(START + timedelta(seconds=40)))
    deep.compare_segments(sides, [whole(sides.source)], tally, parallel=1, rows=50)
    deep.look_again(sides, tally)
    assert (tally.unsettled, sum(tally.counts.values())) == (2, 0)
    filtered = tally_of()
    sides = Sides(sides.source, sides.target, "2024-01-01")
    deep.compare_segments(sides, [whole(sides.source)], filtered, parallel=1, rows=50)
    assert filtered.counts["missing"] == 1
