"""Incremental paging while rows move: none is lost, whatever the page size and however many share a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sync_rules.bookmarks import IncrementalBookmark
from sync_rules.incremental import Clock, pages, plan
from tap_oracle_wms.changes import ChangePage, ChangeReader, text_of
from tap_oracle_wms.errors import BadAnswer
from tap_oracle_wms.source import cursor_page

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
BASE = 1_700_000_000_000_000
SCHEMA = pa.schema([("id", pa.int64()), ("mod_ts", pa.timestamp("us", tz="UTC"))])


def micros(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


class Moving:
    """Rows {id: time}; before each answer `move` may change them. `digits` is how exactly times are written."""

    def __init__(self, rows: dict[int, int], size: int, move: Callable[[Moving], None], digits: int = 6) -> None:
        self.rows = dict(rows)
        self.size = size
        self.move = move
        self.step = 10 ** (6 - digits)
        self.requests = 0

    def by_time(self, low: str) -> ChangePage:
        return self._page(sorted((t, i) for i, t in self.rows.items() if t >= micros(low)))

    def by_moment(self, low: str, high: str, above: int | None) -> ChangePage:
        found = [
            (t, i)
            for i, t in sorted(self.rows.items())
            if micros(low) <= t < micros(high) and (above is None or i > above)
        ]
        return self._page(found)

    def _page(self, found: list[tuple[int, int]]) -> ChangePage:
        self.requests += 1
        page = found[: self.size]
        batch = pa.RecordBatch.from_arrays(
            [
                pa.array([i for _, i in page], pa.int64()),
                pa.array([t - t % self.step for t, _ in page], pa.int64()).cast(SCHEMA.field(1).type),
            ],
            schema=SCHEMA,
        )
        self.move(self)
        return ChangePage(batch, len(found) <= self.size)

    def batches(self, start: int) -> list[tuple[list[int], int]]:
        """(ids, time that is said to be complete) of each batch handed over."""
        reader = ChangeReader("thing", "id", "mod_ts", self.by_time, self.by_moment)
        return [(found.batch.column(0).to_pylist(), micros(found.reached)) for found in reader.read(text_of(start))]

    def read(self, start: int) -> list[int]:
        """Every id handed over."""
        return [one for ids, _ in self.batches(start) for one in ids]


TIMES = st.integers(0, 6).map(lambda n: BASE + n * 400_000) | st.integers(0, 3_000_000).map(lambda n: BASE + n)


@settings(max_examples=200)
@given(
    rows=st.dictionaries(st.integers(1, 60), TIMES, max_size=40),
    size=st.integers(1, 7),
    digits=st.sampled_from([0, 3, 6]),
    seed=st.randoms(use_true_random=False),
)
def test_rows_that_stay_are_read_once_and_rows_that_move_are_still_there(
    rows: dict[int, int], size: int, digits: int, seed: object
) -> None:
    moved: set[int] = set()
    later = BASE + 10_000_000_000

    def move(source: Moving) -> None:
        """Some row changes, and with its new time leaves the window of this run; some row is deleted."""
        if source.rows and seed.random() < 0.6:  # type: ignore[attr-defined]  # a random.Random, untyped in hypothesis
            one = seed.choice(sorted(source.rows))  # type: ignore[attr-defined]
            moved.add(one)
            if seed.random() < 0.3:  # type: ignore[attr-defined]
                del source.rows[one]
            else:
                source.rows[one] = later

    source = Moving(rows, size, move, digits)
    whole = source.by_time
    source.by_time = lambda low: _within(whole(low), later)  # type: ignore[method-assign]
    seen = source.read(BASE)
    assert {one for one in rows if one not in moved} <= set(seen)
    assert len(seen) == len(set(seen))


def _within(page: ChangePage, high: int) -> ChangePage:
    """The window's upper end: the source's clock when the run began."""
    keep = [t < datetime.fromtimestamp(high // 1_000_000, tz=timezone.utc) for t in page.batch.column(1).to_pylist()]
    return ChangePage(page.batch.filter(pa.array(keep, pa.bool_())), page.last or not all(keep))


@settings(max_examples=100)
@given(
    rows=st.dictionaries(st.integers(1, 60), TIMES, max_size=40),
    size=st.integers(1, 7),
    cut=st.integers(0, 40),
)
def test_a_run_cut_short_anywhere_goes_on_without_a_gap(rows: dict[int, int], size: int, cut: int) -> None:
    """Even with no lookback: what is said to be complete is complete."""
    first = Moving(rows, size, lambda _: None).batches(BASE)[:cut]
    second = Moving(rows, size, lambda _: None).batches(first[-1][1] if first else BASE)
    assert {one for ids, _ in first + second for one in ids} == set(rows)


def test_a_thousand_rows_of_one_time_over_pages_of_ten() -> None:
    rows = {**dict.fromkeys(range(1, 1_001), BASE), 2_000: BASE + 1, 2_001: BASE + 5_000_000}
    source = Moving(rows, 10, lambda _: None)
    assert sorted(source.read(BASE)) == sorted(rows)
    assert source.requests < 110


@settings(max_examples=100)
@given(rows=st.dictionaries(st.integers(1, 60), TIMES, max_size=40), size=st.integers(1, 7), cut=st.integers(1, 40))
def test_a_run_cut_short_anywhere_goes_on_from_exactly_there(rows: dict[int, int], size: int, cut: int) -> None:
    source = Moving(rows, size, lambda _: None)
    reader = ChangeReader("thing", "id", "mod_ts", source.by_time, source.by_moment)
    first = list(reader.read(text_of(BASE)))[:cut]
    more = list(reader.read(first[-1].reached, first[-1].above)) if first else []
    assert {one for found in first + more for one in found.batch.column(0).to_pylist()} == set(rows)


def test_a_moment_of_more_rows_than_a_run_can_read_is_read_over_many_runs() -> None:
    """Each run used to begin before the moment again, by the lookback, and never came to its end."""
    rows = {**{one: BASE - 60_000_000 * one for one in range(1, 6)}, **dict.fromkeys(range(10, 400), BASE)}
    source = Moving({**rows, 500: BASE + 90_000_000}, 10, lambda _: None)
    clock = Clock(text_of(BASE + 3_600_000_000), 0, text_of(BASE + 3_600_000_000))
    state: dict[str, object] | None = None
    seen: set[int] = set()
    for _run in range(12):
        saved = IncrementalBookmark.from_state(state)
        first_start = text_of(BASE - 600_000_000)
        window, bookmark = plan(saved, clock, timedelta(minutes=30), start_date=first_start, cursor_column="mod_ts")
        above = None if window.within is None else int(window.within[0])
        found = ChangeReader("thing", "id", "mod_ts", source.by_time, source.by_moment).read(str(window.low), above)
        held = [cursor_page([one], last=False) for one in found]
        answers = iter([*held, cursor_page([], last=True)])
        left = 5
        for page, reached in pages(window, bookmark, lambda _: next(answers)):  # noqa: B023  # used at once
            seen.update(page.batches[0].column(0).to_pylist())
            state, left = json.loads(json.dumps(reached.to_state())), left - 1
            if not left:
                break
        else:
            break
    assert seen == set(source.rows)


Rows = list[tuple[int, "int | None"]]


@pytest.mark.parametrize(
    ("by_time", "by_moment", "words"),
    [
        ([[(1, 5), (2, 0)]], [], "out of the order"),
        ([[(1, 5), (2, 6)], [(3, 4), (4, 7)]], [], "out of the order"),
        ([[(1, 5), (2, None)]], [], "without mod_ts"),
        ([[(1, 5), (2, 5)]], [[(4, 6), (3, 6)]], "out of order, or a page came again"),
        ([[(1, 5), (2, 5)]], [[(3, 6), (4, 6)], [(4, 6), (5, 6)]], "out of order, or a page came again"),
    ],
)
def test_pages_out_of_order_are_an_error(by_time: list[Rows], by_moment: list[Rows], words: str) -> None:
    def answers(pages: list[Rows]) -> Iterator[ChangePage]:
        for rows in pages:
            times = pa.array([None if time is None else BASE + time for _, time in rows], pa.int64())
            arrays = [pa.array([one for one, _ in rows], pa.int64()), times.cast(SCHEMA.field(1).type)]
            yield ChangePage(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA), False)

    of_time, of_moment = answers(by_time), answers(by_moment)
    reader = ChangeReader("thing", "id", "mod_ts", lambda _: next(of_time), lambda *_: next(of_moment))
    with pytest.raises(BadAnswer, match=words):
        list(reader.read(text_of(BASE)))


def test_an_empty_page_that_says_more_follow_is_an_error() -> None:
    nothing = ChangePage(pa.RecordBatch.from_pylist([], SCHEMA), False)
    with pytest.raises(BadAnswer, match="empty page"):
        list(ChangeReader("thing", "id", "mod_ts", lambda _: nothing, lambda *_: nothing).read(text_of(BASE)))
