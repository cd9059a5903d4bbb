"""Full sync: newest first, by keyset, resumable from its bookmark.

A source is asked for one page after another below the lowest key written so far. Nothing here touches a source or a
target: `read` brings a page, the caller writes it and its state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pyarrow as pa

from sync_rules.batch_info import BatchInfo, Key, KeyValue
from sync_rules.bookmarks import FullBookmark
from sync_rules.exits import LimitReached
from sync_rules.lookback import moment_of


@dataclass(frozen=True)
class Beginning:
    """What the source says before the first page: its clock, its highest key, about how many rows.

    `started_at` is UTC, ISO 8601 with an offset. `upper_key` is None for an empty or a keyless table. `instant` is the
    milliseconds that the source's clock leaves open, where it tells whole seconds: of any clock, so that two syncs
    begun within one second are two versions.
    """

    started_at: str
    upper_key: Key | None
    estimate: int | None
    cursor_at_start: KeyValue | None = None
    cursor_column: str | None = None
    utc_offset_minutes: int = 0
    instant: int = 0


@dataclass(frozen=True)
class KeyRange:
    """Rows with `key <= upper` and, where `below` is given, `key < below`; in descending order."""

    upper: Key
    below: Key | None = None


@dataclass(frozen=True)
class Page:
    """Rows in descending key order. `lowest` is the key of the last one; `last` is true when none are left below."""

    batches: list[pa.RecordBatch] = field(repr=False)
    lowest: Key | None
    last: bool

    @property
    def rows(self) -> int:
        """Rows in the page."""
        return sum(batch.num_rows for batch in self.batches)


@dataclass(frozen=True)
class Deadline:
    """When a whole sync has to stop at the next page. `seconds` of None is never."""

    seconds: float | None
    started: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """A deadline that many seconds from now."""
        return cls(seconds, clock(), clock)

    def check(self, table: str) -> None:
        """Raise LimitReached once the time is up."""
        if self.seconds is not None and self.clock() - self.started >= self.seconds:
            raise LimitReached(
                f"{table}: the whole-sync limit of {self.seconds:g} s is reached; the state is kept and the next run"
                " goes on from there"
            )


def begin(saved: FullBookmark | None, fingerprint: str, ask: Callable[[], Beginning]) -> tuple[FullBookmark, str]:
    """The bookmark to go on from, and in words why: a saved one that is unfinished and still fits, or a new version.

    A version is the source's clock in milliseconds, as far as it tells them, and always above the one before.
    """
    if saved is not None and not saved.done:
        if saved.fingerprint == fingerprint and saved.last_key is not None:
            return saved, f"goes on after {saved.rows} rows"
        reason = (
            "the last one wrote no page"
            if saved.fingerprint == fingerprint
            else "the table's columns, its key or its server changed, so the unfinished sync is given up"
        )
    else:
        reason = "no unfinished sync" if saved is None else "the last one finished"
    beginning = ask()
    version = _milliseconds(beginning.started_at) + beginning.instant
    if saved is not None:
        version = max(version, saved.version + 1)
    started = FullBookmark(
        version=version,
        started_at=beginning.started_at,
        fingerprint=fingerprint,
        upper_key=beginning.upper_key,
        estimate=beginning.estimate,
        cursor_at_start=beginning.cursor_at_start,
        cursor_column=beginning.cursor_column,
        utc_offset_minutes=beginning.utc_offset_minutes,
    )
    return started, f"begins anew: {reason}"


def pages(start: FullBookmark, read: Callable[[KeyRange], Page]) -> Iterator[tuple[Page, FullBookmark, BatchInfo]]:
    """Each page that holds rows, the bookmark to write after it, and what its batch file says of itself.

    The stream's name in the BatchInfo is left empty for the caller to fill in. Raises RuntimeError when a page does
    not move the bookmark down: a source that answers so would be read for ever.
    """
    bookmark = start
    while bookmark.upper_key is not None:
        page = read(KeyRange(bookmark.upper_key, bookmark.last_key))
        if page.rows:
            if page.lowest is None or page.lowest == bookmark.last_key:
                raise RuntimeError("the source answered a page that does not go below the one before")
            after = bookmark.last_key
            bookmark = replace(
                bookmark, last_key=page.lowest, batches=bookmark.batches + 1, rows=bookmark.rows + page.rows
            )
            yield page, bookmark, batch_info(bookmark, after, page.rows)
        if page.last:
            return


def batch_info(bookmark: FullBookmark, after: Key | None, rows: int) -> BatchInfo:
    """What the file of the batch that led to `bookmark` says of itself."""
    return BatchInfo(
        stream="",
        mode="full",
        batch=bookmark.batches,
        rows=rows,
        version=bookmark.version,
        after=after,
        through=bookmark.last_key,
    )


def finish(bookmark: FullBookmark) -> FullBookmark:
    """The bookmark of a sync whose last page is written. It is marked, never emptied: a deep merge brings keys back."""
    return replace(bookmark, done=True)


def _milliseconds(moment: str) -> int:
    return round(moment_of(moment).timestamp() * 1000)
