"""Full syncs over an in-memory table: every row once, whatever the page size and the kills (SPEC F1 to F9)."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sync_rules import full
from sync_rules.batch_info import Key
from sync_rules.bookmarks import FullBookmark
from sync_rules.exits import LimitReached
from sync_rules.full import Beginning, Deadline, KeyRange, Page

STARTED = "2025-11-22T21:28:43.123456+00:00"
KEYS = st.sets(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), max_size=60)


class Table:
    """Rows that are nothing but their keys."""

    def __init__(self, keys: set[Key], page_size: int) -> None:
        self.keys = set(keys)
        self.page_size = page_size

    def begin(self) -> Beginning:
        return Beginning(STARTED, max(self.keys, default=None), len(self.keys))

    def read(self, asked: KeyRange) -> Page:
        found = sorted(
            (k for k in self.keys if k <= asked.upper and (asked.below is None or k < asked.below)), reverse=True
        )
        page = found[: self.page_size]
        if not page:
            return Page([], None, last=True)
        batch = pa.record_batch({"k": pa.array([list(key) for key in page])})
        return Page([batch], page[-1], last=len(page) < self.page_size)


def keys_in(page: Page) -> list[Key]:
    return [tuple(key) for batch in page.batches for key in batch.column(0).to_pylist()]


def test_an_empty_table_begins_a_version_and_finishes_it_without_a_page() -> None:
    table = Table(set(), 1)
    bookmark, _ = full.begin(None, "f", table.begin)
    assert bookmark.upper_key is None
    assert list(full.pages(bookmark, table.read)) == []
    assert full.finish(bookmark) == replace(bookmark, done=True)


def test_versions_grow_even_when_the_clock_stands_still() -> None:
    first, _ = full.begin(None, "f", Table({(1,)}, 1).begin)
    second, _ = full.begin(full.finish(first), "f", Table({(1,)}, 1).begin)
    assert first.version == 1763846923123
    assert second.version == first.version + 1
    coarse = replace(Table({(1,)}, 1).begin(), instant=456)
    assert full.begin(None, "f", lambda: coarse)[0].version == first.version + 456


@pytest.mark.parametrize("fingerprint", ["f", "other"])
def test_an_unfinished_sync_is_resumed_only_while_the_table_is_the_same(fingerprint: str) -> None:
    """SPEC F6."""
    saved = FullBookmark(
        version=7, started_at=STARTED, fingerprint="f", upper_key=(9,), last_key=(5,), batches=2, rows=4
    )
    bookmark, reason = full.begin(saved, fingerprint, Table({(1,)}, 1).begin)
    assert (bookmark is saved) == (fingerprint == "f")
    assert ("goes on" in reason) == (fingerprint == "f")


def test_a_source_that_repeats_a_page_is_not_read_for_ever() -> None:
    bookmark = FullBookmark(version=1, started_at=STARTED, fingerprint="f", upper_key=(9,), last_key=(5,))
    same = Page([pa.record_batch({"k": [5]})], (5,), last=False)
    with pytest.raises(RuntimeError, match="does not go below"):
        next(full.pages(bookmark, lambda _: same))


def test_the_limit_is_told_in_words_and_leaves_the_state() -> None:
    """SPEC F9."""
    now = 0.0
    deadline = Deadline.after(10, lambda: now)
    deadline.check("dbo.t")
    now = 10.0
    with pytest.raises(LimitReached, match=r"dbo\.t: the whole-sync limit of 10 s"):
        deadline.check("dbo.t")


@given(
    keys=KEYS,
    pages=st.integers(1, 7),
    kills=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=9),
    data=st.data(),
)
def test_every_row_arrives_once_whatever_is_killed(
    keys: set[Key], pages: int, kills: list[tuple[int, int]], data: st.DataObject
) -> None:
    """SPEC F4. A kill loses any number of the last states; the target keeps what it committed, by batch number."""
    table = Table(keys, pages)
    committed: dict[int, list[Key]] = {}
    saved: FullBookmark | None = None
    there_all_along = set(keys)
    for lives, lost_states in [*kills, (10**6, 0)]:
        if saved is None:
            committed.clear()
        bookmark, _ = full.begin(saved, "f", table.begin)
        if saved is None or bookmark.version != saved.version:
            committed.clear()
        states = [bookmark]
        for count, (page, reached, info) in enumerate(full.pages(bookmark, table.read)):
            if count == lives:
                break
            assert info.rows == page.rows
            assert info.batch == states[-1].batches + 1
            assert info.after == states[-1].last_key
            committed = {number: rows for number, rows in committed.items() if number < info.batch}
            committed[info.batch] = keys_in(page)
            states.append(reached)
        else:
            saved = full.finish(states[-1])
            break
        at = max(0, len(states) - 1 - lost_states)
        saved = states[at] if states[at].last_key is not None else None
        gone = data.draw(st.sets(st.sampled_from(sorted(table.keys)), max_size=2)) if table.keys else set()
        table.keys -= gone
        there_all_along -= gone
        table.keys |= data.draw(st.sets(st.tuples(st.integers(20, 30), st.integers(0, 3)), max_size=2))
    assert saved is not None
    assert saved.done
    arrived = [key for rows in committed.values() for key in rows]
    assert len(arrived) == len(set(arrived))
    assert there_all_along <= set(arrived)
    assert saved.rows == len(arrived)
