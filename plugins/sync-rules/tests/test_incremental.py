"""Incremental syncs against a simulated server: no change is lost, whatever clock and kills do (SPEC I1 to I9)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sync_rules import incremental
from sync_rules.bookmarks import FullBookmark, IncrementalBookmark
from sync_rules.incremental import Clock, CursorPage, Window

DAY = datetime(2025, 2, 15, 20)
LOOKBACK = timedelta(minutes=30)


@dataclass
class Server:
    """A table of (key, stamp, value) on a server whose local clock falls back an hour after `falls` minutes."""

    falls: int
    page_size: int
    resumable: bool = False
    minute: int = 0
    rows: dict[int, tuple[str, int]] = field(default_factory=dict)
    pending: list[tuple[int, int, str, int]] = field(default_factory=list)

    def offset(self, minute: int) -> int:
        return -120 if minute < self.falls else -180

    def local(self, minute: int) -> str:
        moment = DAY + timedelta(minutes=minute + self.offset(minute))
        return moment.isoformat(timespec="seconds") + ".1234567"

    def write(self, key: int, value: int, late: int) -> None:
        """Stamp a row now, and commit it `late` minutes later. Writers of one row queue, as locks make them."""
        held = [commit for commit, other, _, _ in self.pending if other == key]
        self.pending.append((max([self.minute + late, *held]), key, self.local(self.minute), value))

    def pass_time(self, minutes: int) -> None:
        self.minute += minutes
        for entry in sorted(self.pending, key=lambda one: one[0]):
            if entry[0] <= self.minute:
                self.pending.remove(entry)
                self.rows[entry[1]] = (entry[2], entry[3])

    def clock(self) -> Clock:
        return Clock(self.local(self.minute), self.offset(self.minute), "unused")

    def read(self, window: Window) -> CursorPage:
        found = sorted(
            (
                (stamp, key, value)
                for key, (stamp, value) in self.rows.items()
                if str(window.low) <= stamp <= str(window.high)
            ),
        )
        after = window.after or (None if window.within is None else (window.low, window.within))
        if after is not None:
            cursor, key = after
            found = [row for row in found if (row[0], (row[1],)) > (cursor, key)]
        page = found[: self.page_size]
        if not page:
            return CursorPage([], None, last=True)
        batch = pa.record_batch({"key": [row[1] for row in page], "value": [row[2] for row in page]})
        end = (page[-1][0], (page[-1][1],))
        return CursorPage([batch], end, last=len(page) < self.page_size, resume=end if self.resumable else None)


def run(
    server: Server, saved: IncrementalBookmark | None, target: dict[int, int], lives: int, **start: object
) -> IncrementalBookmark | None:
    """One sync, killed after `lives` pages. Returns the state it leaves."""
    clock, more = server.clock(), True
    while more:
        more = incremental.follows(saved)
        window, end = incremental.plan(saved, clock, LOOKBACK, **start)  # type: ignore[arg-type]
        last = None
        for page, bookmark in incremental.pages(window, end, server.read):
            if lives == 0:
                return last or saved
            lives -= 1
            for batch in page.batches:
                target.update(zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True))
            last = bookmark
        saved = incremental.finish(end, last)
    return saved


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 5), st.integers(0, 29)),
        st.tuples(st.just("time"), st.integers(1, 50), st.just(0)),
        st.tuples(st.just("run"), st.integers(0, 4), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=400)
@given(steps=STEPS, page_size=st.integers(1, 4), falls=st.integers(10, 300), resumable=st.booleans())
@example(
    steps=[("write", 0, 0), ("time", 50, 0), ("run", 9, 0), ("time", 50, 0), ("write", 1, 0)],
    page_size=1,
    falls=60,
    resumable=False,
)
def test_no_change_is_lost(steps: list[tuple[str, int, int]], page_size: int, falls: int, resumable: bool) -> None:
    """SPEC I2, I4, I8, I9: late commits within the lookback, kills at any page, the end of daylight saving.

    A row stamped before the clocks went back is read once the server's clock has come to its stamp again: hence the
    time that passes before the last run.
    """
    server = Server(falls, page_size, resumable)
    start = server.clock()
    begun = FullBookmark(
        1, "unused", "f", cursor_at_start=start.now, utc_offset_minutes=start.utc_offset_minutes, done=True
    )
    saved: IncrementalBookmark | None = None
    target: dict[int, int] = {}
    highest = ""
    for number, (what, amount, late) in enumerate([*steps, ("time", 100, 0), ("run", 10**6, 0)]):
        if what == "write":
            server.write(amount, number, late)
        elif what == "time":
            server.pass_time(amount)
        else:
            saved = run(server, saved, target, amount, full_sync=begun)
            if saved is not None:
                assert str(saved.cursor) >= highest
                highest = str(saved.cursor)
    assert target == {key: value for key, (_, value) in server.rows.items()}


def test_a_run_cut_short_again_and_again_comes_to_the_end() -> None:
    """A backlog that no run can finish still shrinks: each run goes on near where the last one ended."""
    server = Server(falls=10**6, page_size=1)
    for key in range(40):
        server.write(key, key, 0)
        server.pass_time(60)
    target: dict[int, int] = {}
    saved = None
    for _ in range(40):
        saved = run(server, saved, target, lives=2, start_date=server.local(0))
    assert len(target) == 40


def test_more_rows_of_one_moment_than_a_run_can_read_come_to_an_end() -> None:
    """SPEC I9: one UPDATE of all rows stamps them alike, and the lookback would begin with all of them again."""
    server = Server(falls=10**6, page_size=1, resumable=True)
    for key in range(40):
        server.write(key, key, 0)
    server.pass_time(10)
    target: dict[int, int] = {}
    saved = None
    for _ in range(20):
        saved = run(server, saved, target, lives=2, start_date=server.local(0))
    assert len(target) == 40


def test_the_first_run_starts_at_the_full_sync_less_the_lookback() -> None:
    """SPEC I3."""
    clock = Clock("2025-06-01T12:00:00.0000000", -180, "unused")
    full_sync = FullBookmark(1, "unused", "f", cursor_at_start="2025-05-31T22:00:00.1234567", utc_offset_minutes=-180)
    window, bookmark = incremental.plan(None, clock, LOOKBACK, full_sync=full_sync, start_date="2020-01-01")
    assert window == Window("2025-05-31T21:30:00.1234567", clock.now)
    assert bookmark.cursor == "2025-05-31T22:00:00.1234567"


@pytest.mark.parametrize(
    ("start_date", "low"), [("2020-01-01T00:00:00", "2020-01-01T00:00:00"), (None, "2025-06-01T11:30:00.5")]
)
def test_without_a_full_sync_it_starts_at_the_start_date_or_now(start_date: str | None, low: str) -> None:
    """SPEC I3."""
    window, _ = incremental.plan(None, Clock("2025-06-01T12:00:00.5", 0, "unused"), LOOKBACK, start_date=start_date)
    assert window.low == low


def test_row_versions_have_no_lookback() -> None:
    window, bookmark = incremental.plan(IncrementalBookmark(cursor=100, clock=120), Clock(150, 0, "unused"), LOOKBACK)
    assert window == Window(100, 150)
    assert incremental.finish(bookmark, None).cursor == 100


def test_a_run_that_was_cut_short_goes_on_to_the_end_of_its_own_window() -> None:
    """SPEC I9. And the next one begins at that end less the lookback, as if it had not been cut short."""
    first = Clock("2025-06-01T12:00:00", 0, "unused")
    window, bookmark = incremental.plan(None, first, LOOKBACK, start_date="2025-06-01T10:00:00")
    page = CursorPage(
        [pa.record_batch({"id": pa.array([7])})],
        ("2025-06-01T11:00:00", (7,)),
        last=False,
        resume=("2025-06-01T11:00:00", (9,)),
    )
    _, cut = next(incremental.pages(window, bookmark, lambda _: page))
    saved = IncrementalBookmark.from_state(json.loads(json.dumps(cut.to_state())))
    later = Clock("2025-06-01T15:00:00", 0, "unused")
    window, bookmark = incremental.plan(saved, later, LOOKBACK)
    assert window == Window("2025-06-01T11:00:00", first.now, within=(9,))
    window, _ = incremental.plan(incremental.finish(bookmark, cut), later, LOOKBACK)
    assert window == Window("2025-06-01T10:30:00", later.now)


@pytest.mark.parametrize("resumable", [True, False])
def test_a_run_cut_short_after_the_clocks_went_back_goes_on_from_what_it_read(resumable: bool) -> None:
    """SPEC I8, I9. The bookmark is of before, and above all that this run could read."""
    before = IncrementalBookmark("2025-02-15T23:50:00", clock="2025-02-15T23:50:00", utc_offset_minutes=-120)
    first = Clock("2025-02-15T23:05:00", -180, "unused")
    end = ("2025-02-15T22:10:00", (7,))
    page = CursorPage([pa.record_batch({"id": pa.array([7])})], end, last=False, resume=end if resumable else None)
    _, cut = next(incremental.pages(*incremental.plan(before, first, LOOKBACK), lambda _: page))
    later = Clock("2025-02-15T23:40:00", -180, "unused")
    window, bookmark = incremental.plan(cut, later, LOOKBACK)
    if not resumable:
        assert window == Window("2025-02-15T21:40:00", later.now)
        return
    assert window == Window("2025-02-15T22:10:00", first.now, within=(7,))
    window, _ = incremental.plan(incremental.finish(bookmark, None), later, LOOKBACK)
    assert window.low == "2025-02-15T22:35:00"


def test_a_source_that_repeats_a_page_is_not_read_for_ever() -> None:
    page = CursorPage([pa.record_batch({"id": pa.array([7])})], (5, (7,)), last=False)
    found = incremental.pages(Window(1, 9), IncrementalBookmark(1), lambda _: page)
    next(found)
    with pytest.raises(RuntimeError, match="does not go beyond"):
        next(found)
