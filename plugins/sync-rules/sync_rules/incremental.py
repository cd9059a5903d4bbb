"""Incremental sync: what changed between the bookmark less the lookback and the source's clock at the start.

Pages go up by (cursor, key), so that rows with one timestamp may span any number of pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pyarrow as pa

from sync_rules import lookback as lookback_rule
from sync_rules.batch_info import Key, KeyValue
from sync_rules.bookmarks import FullBookmark, IncrementalBookmark


@dataclass(frozen=True)
class Clock:
    """The source's clock in the cursor column's terms, as exact text (or a number), and its zone's offset from UTC.

    `never_falls` says of a number that it goes back only where the database was restored: SQL Server's rowversion.
    `may_fall` says of one that it is the highest of the table's own rows, whose numbers may be given anew.
    """

    now: KeyValue
    utc_offset_minutes: int
    started_at: str
    never_falls: bool = False
    may_fall: bool = False


@dataclass(frozen=True)
class Window:
    """Rows with `cursor >= low`, `cursor <= high` and, where `after` is given, `(cursor, key) > after`, ascending.

    `within` is only given to a source that asked for it by `CursorPage.resume`: of the rows at `low` those up to that
    key are read already.
    """

    low: KeyValue
    high: KeyValue
    after: tuple[KeyValue, Key] | None = None
    within: Key | None = None


@dataclass(frozen=True)
class CursorPage:
    """Rows in ascending (cursor, key) order. `end` is the last row's; `last` is true when none are left above.

    `resume` is where a run that is cut short after this page can go on, as if it had not been: at a cursor, inclusive,
    or within its rows, after a key. Without it the next run begins at the bookmark less the lookback.
    """

    batches: list[pa.RecordBatch] = field(repr=False)
    end: tuple[KeyValue, Key] | None
    last: bool
    resume: tuple[KeyValue, Key | None] | None = None

    @property
    def rows(self) -> int:
        """Rows in the page."""
        return sum(batch.num_rows for batch in self.batches)


def plan(
    saved: IncrementalBookmark | None,
    clock: Clock,
    lookback: timedelta,
    *,
    full_sync: FullBookmark | None = None,
    start_date: KeyValue | None = None,
    cursor_column: str | None = None,
) -> tuple[Window, IncrementalBookmark]:
    """What to read, and the bookmark that holds if nothing is found.

    A run that was cut short and can be resumed goes on to the end of its own window: what came since, and what the
    lookback is there for, is the next window's (see `follows`). Without a saved bookmark it starts at the last full
    sync's start less the lookback, else at `start_date`, else at the source's now less the lookback.
    """
    if saved is not None and saved.unfinished is not None:
        high, at, key = saved.unfinished
        bookmark = replace(
            saved, clock=high, started_at=clock.started_at, unfinished=None, cursor_column=cursor_column, low=at
        )
        return Window(at, high, within=key), bookmark
    if saved is None and full_sync is not None and full_sync.cursor_at_start is not None:
        at_start = full_sync.cursor_at_start
        saved = IncrementalBookmark(at_start, at_start, full_sync.utc_offset_minutes)
    if saved is not None:
        low = lookback_rule.start(saved, clock.now, clock.utc_offset_minutes, lookback)
        cursor = saved.cursor
    elif start_date is not None:
        low = cursor = start_date
    else:
        low = cursor = lookback_rule.earlier(clock.now, lookback)
    bookmark = IncrementalBookmark(
        cursor=cursor,
        clock=clock.now,
        utc_offset_minutes=clock.utc_offset_minutes,
        started_at=clock.started_at,
        cursor_column=cursor_column,
        low=low,
    )
    return Window(low, clock.now), bookmark


def follows(saved: IncrementalBookmark | None) -> bool:
    """Whether the window that is planned for the bookmark ends where a run was cut short: one more has to follow it.

    That run's clock is the window's end, and each of its rows is read after that clock, whichever run reads it. So the
    next window begins at that end less the lookback, as if the run had not been cut short.
    """
    return saved is not None and saved.unfinished is not None


def pages(
    window: Window, end_bookmark: IncrementalBookmark, read: Callable[[Window], CursorPage]
) -> Iterator[tuple[CursorPage, IncrementalBookmark]]:
    """Each page that holds rows and the bookmark to write after it.

    Until the last page is written the bookmark's clock is the last cursor value read, not this run's clock: a run that
    is cut short must not make the next one believe that everything up to its clock was read, and the next one must
    not begin all over either. The cursor alone would not do: it may be ahead of what this run has read, after
    daylight saving ended.
    """
    cursor = end_bookmark.cursor
    while True:
        page = read(window)
        if page.rows:
            if page.end is None or page.end == window.after:
                raise RuntimeError("the source answered a page that does not go beyond the one before")
            cursor = lookback_rule.advance(cursor, page.end[0])
            unfinished = None if page.resume is None else (window.high, *page.resume)
            yield page, replace(end_bookmark, cursor=cursor, clock=page.end[0], unfinished=unfinished)
            window = replace(window, after=page.end)
        if page.last:
            return


def finish(end_bookmark: IncrementalBookmark, last_written: IncrementalBookmark | None) -> IncrementalBookmark:
    """The bookmark after the last page: the highest cursor seen, and this run's clock."""
    if last_written is None:
        return end_bookmark
    return replace(end_bookmark, cursor=last_written.cursor)
