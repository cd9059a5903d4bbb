"""The two syncs over an in-memory table: what a saved bookmark leads to, and the states a run leaves behind."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from sync_rules.batch_info import BatchInfo, Key
from sync_rules.bookmarks import FullBookmark, IncrementalBookmark, taken_back
from sync_rules.exits import CheckRefused, LimitReached
from sync_rules.full import Beginning, Deadline, KeyRange, Page
from sync_rules.incremental import Clock, CursorPage, Window
from sync_rules.singer import syncs

LOG = logging.getLogger("test")
NEVER = Deadline.after(None)
AT_ONCE = Deadline.after(0)
NOON = "2025-06-01T12:00:00"


@dataclass
class Table:
    """Ten rows, 1 to 10, in pages of three; each was changed in the minute of its number."""

    key: Sequence[str] = ("id",)
    cursor: str = "mod_ts"
    fingerprint: str = "f"
    now: str = NOON
    refused: bool = False
    name: str = "dbo.t"
    counts: bool = True
    columns: Sequence[Any] = ()
    states: list[dict[str, Any]] = field(default_factory=list)
    handed_over: list[list[int]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    def begin(self) -> Beginning:
        return Beginning(f"{NOON}+00:00", (10,) if self.key else None, 10)

    def read_page(self, asked: KeyRange) -> Page:
        below = 11 if asked.below is None else int(asked.below[0])
        found = list(range(below - 1, 0, -1))[:3]
        return Page([rows(found)], (found[-1],), found[-1] == 1)

    def read_whole(self) -> Iterator[list[pa.RecordBatch]]:
        for first in range(1, 11, 3):
            yield [rows(list(range(first, min(first + 3, 11))))]

    def check_whole(self, bookmark: FullBookmark) -> None:
        if self.refused:
            raise CheckRefused("rows were left out")

    def clock(self) -> Clock:
        return Clock(self.now, 0, f"{self.now}+00:00")

    def estimate(self) -> int:
        return 10

    def read_cursor_page(self, window: Window) -> CursorPage:
        after: tuple[Any, Key] = window.after or (window.low, window.within or (0,))
        left = [n for n in range(1, 11) if (f"2025-06-01T11:{n:02}:00", (n,)) > after][:3]
        if not left:
            return CursorPage([], None, last=True)
        end = (f"2025-06-01T11:{left[-1]:02}:00", (left[-1],))
        return CursorPage([rows(left)], end, len(left) < 3, resume=end)

    def page(self, batches: Sequence[pa.RecordBatch], info: BatchInfo) -> None:
        self.order.append("page")
        self.handed_over.append([n for batch in batches for n in batch.column(0).to_pylist()])
        assert info.rows == len(self.handed_over[-1])

    def save(self, state: dict[str, Any]) -> None:
        self.order.append("state")
        self.states.append(state)

    def plan(self, saved: dict[str, Any] | None, full_sync: FullBookmark | None = None) -> syncs.IncrementalPlan:
        return syncs.plan_incremental(
            any_of(self),
            IncrementalBookmark.from_state(saved),
            timedelta(minutes=30),
            LOG,
            full_sync=lambda: full_sync,
            start_date=lambda _: "2025-06-01T11:00:00",
        )

    def run_full(self, saved: dict[str, Any] | None = None, deadline: Deadline = NEVER) -> FullBookmark:
        plan = syncs.plan_full(any_of(self), FullBookmark.from_state(saved), LOG)
        return syncs.run_full(any_of(self), plan, self, self.save, deadline, syncs.Tally())

    def run_incremental(self, saved: dict[str, Any] | None = None, deadline: Deadline = NEVER) -> IncrementalBookmark:
        return syncs.run_incremental(any_of(self), self.plan(saved), self, self.save, deadline, syncs.Tally())


def any_of(table: Table) -> Any:
    """Without what these syncs do not ask a source for."""
    return table


def rows(numbers: list[int]) -> pa.RecordBatch:
    return pa.record_batch({"id": pa.array(numbers, pa.int64())})


@pytest.mark.parametrize("run", [Table.run_full, Table.run_incremental])
def test_each_page_is_handed_over_before_its_state_and_the_limit_is_kept(run: Any) -> None:
    """SPEC F3, F9, I9."""
    table = Table()
    with pytest.raises(LimitReached):
        run(table, deadline=AT_ONCE)
    assert table.order == ["page", "state"]
    run(table, table.states[-1])
    assert {n for page in table.handed_over for n in page} == set(range(1, 11))


@pytest.mark.parametrize("key", [("id",), ()])
def test_the_rows_of_all_pages_are_counted(key: Sequence[str]) -> None:
    """The target refuses a version of which it has another number."""
    finished = Table(key=key).run_full()
    assert (finished.rows, finished.batches, finished.done) == (10, 4, True)


def test_a_sync_that_left_rows_out_is_not_gone_on_with() -> None:
    """What is missing lies above its bookmark."""
    table = Table(refused=True)
    with pytest.raises(CheckRefused):
        table.run_full()
    saved = FullBookmark.from_state(table.states[-1])
    assert saved is not None
    begun = syncs.plan_full(any_of(table), saved, LOG).bookmark
    assert (begun.last_key, begun.rows, begun.version) == (None, 0, saved.version + 1)


def test_a_run_of_another_key_is_not_gone_on_from_where_it_stood() -> None:
    """SPEC I9. The key it stood at says nothing of the order of another."""
    table = Table()
    with pytest.raises(LimitReached):
        table.run_incremental(deadline=AT_ONCE)
    cut = table.states[-1]
    same, other = table.plan(cut), replace(table, fingerprint="other").plan(cut)
    assert (same.window.low, same.window.within) == ("2025-06-01T11:03:00", (3,))
    assert (other.window.low, other.window.within) == ("2025-06-01T10:33:00", None)
    assert table.run_incremental(cut).fingerprint == "f"


def test_it_says_whose_end_it_goes_on_from() -> None:
    """SPEC I10. The target refuses where it never had that sync."""
    table = Table()
    full_sync = replace(table.run_full(), cursor_at_start=NOON, started_at="the full sync's start")
    assert table.plan(None).goes_on_from is None
    assert table.plan(None, full_sync).goes_on_from == "the full sync's start"
    saved = replace(table.run_incremental(), started_at="the last sync's start")
    assert table.plan(saved.to_state(), full_sync).describe()["goes_on_from"] == "the last sync's start"


def test_it_says_what_the_target_has_to_hold() -> None:
    """SPEC I10. A server that took over may lack the last commits of a run: it is read again from its beginning."""
    table = Table()
    with pytest.raises(LimitReached):
        table.run_incremental(deadline=AT_ONCE)
    cut = table.states[-1]
    assert table.plan(cut).describe()["held"] == {"rows": 3, "low": "2025-06-01T11:00:00"}
    # What the cut run left, 3 to 10, and the window after it, which is all of the lookback's.
    whole = table.run_incremental(cut).to_state()
    assert (whole["rows"], whole["low"]) == (17, "2025-06-01T10:40:00")
    assert table.plan(taken_back(whole, "then", whole["low"])).window.low == "2025-06-01T10:10:00"
    assert table.plan(taken_back(whole, "then", whole["low"])).describe()["held"] is None
    assert taken_back(None, "then", 1) is None


def test_what_goes_out_as_records_may_be_filtered_on_the_way() -> None:
    table = Table(counts=False)
    assert table.plan(table.run_incremental().to_state()).held is None


def test_a_full_sync_that_is_done_has_taken_effect() -> None:
    full_sync = replace(Table().run_full(), cursor_at_start=NOON)
    assert Table().plan(None, full_sync).held == {"activated": True}
    assert Table().plan(None, replace(full_sync, done=False)).held is None


def test_a_bookmark_of_another_column_is_not_used() -> None:
    saved = Table().run_incremental().to_state()
    assert Table().plan(saved).window.low == "2025-06-01T10:40:00"
    assert Table(cursor="made_at").plan(saved).window.low == "2025-06-01T11:00:00"
