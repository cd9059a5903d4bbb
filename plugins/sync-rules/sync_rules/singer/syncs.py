"""The two syncs, from plan to end: pages to the output, a STATE after each, never ahead of what was handed over."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from sync_rules import full, incremental
from sync_rules.batch_info import BatchInfo, KeyValue
from sync_rules.bookmarks import FullBookmark, IncrementalBookmark, forgotten
from sync_rules.exits import CheckRefused, ConfigurationError
from sync_rules.full import Deadline
from sync_rules.lookback import lower
from sync_rules.singer.handover import in_terms_of
from sync_rules.singer.outputs import Output
from sync_rules.singer.source import Source

SaveState = Callable[[dict[str, Any]], None]


@dataclass
class Tally:
    """What one run did, for its closing line and the metrics."""

    count: Callable[[int], None] = field(default=lambda _rows: None, repr=False)
    rows: int = 0
    batches: int = 0

    def add(self, rows: int) -> None:
        """One more page was handed over."""
        self.rows += rows
        self.batches += 1
        self.count(rows)


@dataclass(frozen=True)
class FullPlan:
    """A full sync that is about to read: where it goes on from."""

    bookmark: FullBookmark
    resumable: bool

    def describe(self) -> dict[str, Any]:
        """The part of `x-paralelo` that only a full sync has."""
        return {
            "sync_mode": "full",
            "version": self.bookmark.version,
            "started_at": self.bookmark.started_at,
            "cursor_at_start": self.bookmark.cursor_at_start,
            "resumable": self.resumable,
            "estimate": self.bookmark.estimate,
        }


@dataclass(frozen=True)
class IncrementalPlan:
    """An incremental sync that is about to read: its window, and the bookmark that holds at its end."""

    window: incremental.Window
    bookmark: IncrementalBookmark
    estimate: int | None
    goes_on_from: str | None = None
    """When the sync began whose end this one goes on from: the target has to hold it."""
    held: dict[str, Any] | None = None
    """What the target has to hold of that sync."""
    then: Callable[[IncrementalBookmark], IncrementalPlan] | None = field(default=None, repr=False)
    """From the bookmark at its end, the window after it, where this one is what a run left that was cut short."""

    def describe(self) -> dict[str, Any]:
        """The part of `x-paralelo` that only an incremental sync has."""
        return {
            "sync_mode": "incremental",
            "started_at": self.bookmark.started_at,
            "goes_on_from": self.goes_on_from,
            "held": self.held,
            "estimate": self.estimate,
        }


def plan_full(source: Source, saved: FullBookmark | None, log: logging.Logger) -> FullPlan:
    """Go on from the saved bookmark, or begin a version."""
    if not source.key:
        log.warning("%s: is read in one pass, without a key: such a sync cannot be resumed", source.name)
    bookmark, reason = full.begin(saved, source.fingerprint, source.begin)
    log.info("%s: full sync, version %s %s", source.name, bookmark.version, reason)
    return FullPlan(bookmark, bool(source.key))


def run_full(
    source: Source, plan: FullPlan, output: Output, save: SaveState, deadline: Deadline, tally: Tally
) -> FullBookmark:
    """Read every page. Returns the finished bookmark, whose STATE is written.

    Raises LimitReached at a page's end, CheckRefused when rows were left out: the next run then begins a new version.
    """
    bookmark = plan.bookmark
    for page, reached, info in full.pages(bookmark, source.read_page) if source.key else _one_pass(source, bookmark):
        bookmark, rows = reached, page.rows
        output.page(page.batches, info)
        page.batches.clear()  # it is let go before the next is read: a page of large values is large
        save(bookmark.to_state())
        tally.add(rows)
        deadline.check(source.name)
    try:
        source.check_whole(bookmark)
    except CheckRefused:
        # What is missing lies above the bookmark: to go on from there would never bring it.
        save(forgotten(bookmark.to_state()) or {})
        raise
    bookmark = full.finish(bookmark)
    save(bookmark.to_state())
    return bookmark


def _one_pass(source: Source, bookmark: FullBookmark) -> Iterator[tuple[full.Page, FullBookmark, BatchInfo]]:
    """The pages of a table without a key: counted, but with no place to resume from."""
    for batches in source.read_whole():
        page = full.Page(batches, lowest=None, last=False)
        bookmark = replace(bookmark, batches=bookmark.batches + 1, rows=bookmark.rows + page.rows)
        yield page, bookmark, full.batch_info(bookmark, None, page.rows)


def plan_incremental(
    source: Source,
    saved: IncrementalBookmark | None,
    lookback: timedelta,
    log: logging.Logger,
    *,
    full_sync: Callable[[], FullBookmark | None],
    start_date: Callable[[incremental.Clock], KeyValue | None],
) -> IncrementalPlan:
    """Where the window begins: the bookmark, else the last full sync, else the start date, else now; less the lookback.

    `full_sync` is asked only when there is no bookmark, or when its numbers may have been given anew.
    """
    clock = source.clock()
    saved, before = _goes_on_from(source, saved, clock, full_sync, log)
    window, bookmark = incremental.plan(
        saved,
        clock,
        lookback,
        full_sync=before,
        start_date=start_date(clock) if saved is None else None,
        cursor_column=source.cursor,
    )
    origin = (
        "where a run was cut short"
        if incremental.follows(saved)
        else "its bookmark"
        if saved
        else "the last full sync's start"
        if before
        else "the start date or now"
    )
    log.info(
        "%s: incremental sync of %s from %s (%s) to %s", source.name, source.cursor, window.low, origin, window.high
    )
    bookmark = replace(bookmark, fingerprint=source.fingerprint)
    origin_began = saved.started_at if saved is not None else before.started_at if before is not None else None
    plan = IncrementalPlan(window, bookmark, source.estimate(), origin_began, _held(saved, before))
    if not incremental.follows(saved):
        return plan

    def then(finished: IncrementalBookmark) -> IncrementalPlan:
        window, bookmark = incremental.plan(finished, clock, lookback, cursor_column=source.cursor)
        log.info("%s: what a run that was cut short had left is read; on to %s", source.name, clock.now)
        # The run is one, and began where its first window does, or lower.
        low = window.low if finished.low is None else lower(finished.low, window.low)
        return IncrementalPlan(window, replace(bookmark, fingerprint=source.fingerprint, low=low), plan.estimate)

    return replace(plan, then=then)


def _goes_on_from(
    source: Source,
    saved: IncrementalBookmark | None,
    clock: incremental.Clock,
    full_sync: Callable[[], FullBookmark | None],
    log: logging.Logger,
) -> tuple[IncrementalBookmark | None, FullBookmark | None]:
    """The bookmark, else the last full sync in the cursor's terms, else neither.

    Raises ConfigurationError for one from which changes would be lost.
    """
    if saved is not None and saved.cursor_column not in (None, source.cursor):
        log.warning(
            "%s: the bookmark is of %s, not of %s: it is not used", source.name, saved.cursor_column, source.cursor
        )
        saved = None
    before = full_sync() if saved is None or clock.may_fall else None
    if saved is not None and before is not None and _begins_below(before, saved, source.cursor):
        log.warning("%s: the last full sync began below the bookmark of %s: it is not used", source.name, source.cursor)
        saved = None
    if saved is not None:
        _check_bookmark(saved.cursor, clock, source, log)
        if saved.fingerprint not in (None, source.fingerprint):
            saved = replace(saved, unfinished=None)  # the key it stands at may be another one's
        return saved, None
    if before is not None:
        before = in_terms_of(clock, before, source.name, source.cursor)
        if before.cursor_at_start is not None:
            _check_bookmark(before.cursor_at_start, clock, source, log)
    return None, before


def _held(saved: IncrementalBookmark | None, full_sync: FullBookmark | None) -> dict[str, Any] | None:
    """The rows of the run that the sync goes on from, and where that began; of a full sync, that it took effect."""
    if saved is None:
        return {"activated": True} if full_sync is not None and full_sync.done else None
    return None if saved.rows is None or saved.low is None else {"rows": saved.rows, "low": saved.low}


def _begins_below(full_sync: FullBookmark, saved: IncrementalBookmark, cursor: str | None) -> bool:
    """Whether a full sync that began after the bookmark's run did so below it.

    The numbers were given anew in between: whether they have passed the bookmark again tells nothing.
    """
    at_start = full_sync.cursor_at_start
    if full_sync.cursor_column != cursor or not isinstance(at_start, int) or not isinstance(saved.cursor, int):
        return False
    return at_start < saved.cursor and full_sync.started_at > (saved.started_at or "")


def _check_bookmark(at: KeyValue, clock: incremental.Clock, source: Source, log: logging.Logger) -> None:
    """Raise ConfigurationError for a bookmark from which changes would be lost: of another kind, or ahead of all.

    Where that may be, and may as well not be, it is warned of.
    """
    anew = "run a full sync, and clear this job's state (`meltano state clear`): it begins where that sync did"
    if isinstance(at, int) is not isinstance(clock.now, int):
        raise ConfigurationError(
            f"{source.name}: the bookmark {at} is none of {source.cursor}, whose type has changed: {anew}"
        )
    if not isinstance(clock.now, int) or not isinstance(at, int) or clock.now >= at:
        return
    if clock.never_falls:
        raise ConfigurationError(
            f"{source.name}: {source.cursor} stands at {clock.now}, below the bookmark {at}: the database was"
            f" restored or is another one; {anew}"
        )
    if clock.may_fall:
        raise ConfigurationError(
            f"{source.name}: its highest {source.cursor} is below where the last sync ended: an older file, or numbers"
            " that are given anew; run a full sync. Where full_sync_state_id is not set, clear this job's state after"
            " it (`meltano state clear`): else rows are lost once the numbers have passed the old ones"
        )
    log.warning(
        "%s: %s stands at %s, below the bookmark %s. Where its newest rows were deleted that is well; where numbers are"
        " given anew, %s",
        source.name,
        source.cursor,
        clock.now,
        at,
        anew,
    )


def run_incremental(
    source: Source, plan: IncrementalPlan, output: Output, save: SaveState, deadline: Deadline, tally: Tally
) -> IncrementalBookmark:
    """Read every page of the window, and of the one after it. Returns the finished bookmark, its STATE written."""
    reached: IncrementalBookmark | None = None

    def keep(bookmark: IncrementalBookmark) -> IncrementalBookmark:
        counted = replace(bookmark, rows=tally.rows if output.counts else None)
        save(counted.to_state())
        return counted

    for page, bookmark in incremental.pages(plan.window, plan.bookmark, source.read_cursor_page):
        reached, rows = bookmark, page.rows
        output.page(page.batches, BatchInfo(stream="", mode="incremental", batch=tally.batches + 1, rows=rows))
        page.batches.clear()
        tally.add(rows)
        keep(bookmark)
        deadline.check(source.name)
    finished = keep(incremental.finish(plan.bookmark, reached))
    return (
        finished if plan.then is None else run_incremental(source, plan.then(finished), output, save, deadline, tally)
    )
