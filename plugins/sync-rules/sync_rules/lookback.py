"""Where an incremental sync starts to read, and that its bookmark never goes back.

The lookback moves the query's start, never the stored bookmark. It is there for rows that were stamped before the
last run's end and committed after it.

Naive timestamps of a server whose zone observes daylight saving repeat an hour each autumn. A row changed in the
second pass of that hour has a stamp *below* the bookmark, further than the lookback reaches. So the start is the
lowest of: the bookmark, the last run's clock, this run's clock; less the lookback; less what the zone's offset has
fallen by since the last run.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from sync_rules.batch_info import KeyValue
from sync_rules.bookmarks import IncrementalBookmark

_LEAST = datetime(1, 1, 1)


def moment_of(text: str) -> datetime:
    """ISO 8601 text as a moment; what is smaller than a microsecond is cut off. Raises ValueError.

    By itself Python 3.10 reads three or six digits of the second and no `Z`.
    """
    return datetime.fromisoformat(
        re.sub(r"\.(\d{1,6})\d*", lambda found: f".{found[1]:0<6}", text.replace("Z", "+00:00"))
    )


def earlier(moment: KeyValue, by: timedelta) -> KeyValue:
    """`moment` less `by`, with every digit of the second that it had; not before year 1.

    `moment` is ISO 8601 text with any number of digits of the second and, optionally, `Z` or an offset; a date
    alone stays one, of the day the earlier moment falls on. A number (a row version, a counter) has no duration to
    subtract: it comes back as it is.
    """
    if isinstance(moment, int):
        return moment
    text = moment.replace(" ", "T").strip()
    zone = ""
    for mark in ("Z", "+", "-"):
        at = text.find(mark, 10)
        if at > 0:
            text, zone = text[:at], text[at:]
            break
    whole, dot, digits = text.partition(".")
    base = datetime.fromisoformat(whole)
    seconds = timedelta(seconds=round(by.total_seconds()))
    moved = base - seconds if base - _LEAST >= seconds else _LEAST
    if "T" not in text:
        return moved.date().isoformat()
    return moved.isoformat(timespec="seconds") + dot + digits + zone


def start(bookmark: IncrementalBookmark, now: KeyValue, utc_offset_minutes: int, lookback: timedelta) -> KeyValue:
    """The lowest cursor value to read, inclusive, given the last bookmark and the source's clock."""
    known = [value for value in (bookmark.cursor, bookmark.clock, now) if isinstance(value, type(bookmark.cursor))]
    fallen = max(0, bookmark.utc_offset_minutes - utc_offset_minutes)
    return earlier(min(known, key=_order), lookback + timedelta(minutes=fallen))


def advance(bookmark: KeyValue, seen: KeyValue | None) -> KeyValue:
    """The higher of the two: a bookmark never goes back."""
    if seen is None:
        return bookmark
    return max(bookmark, seen, key=_order)


def lower(one: KeyValue, other: KeyValue) -> KeyValue:
    """The lower of the two."""
    return min(one, other, key=_order)


def _order(value: KeyValue) -> tuple[datetime, str] | tuple[int, str]:
    """Sort key: moments by their instant and then by the digits a datetime cannot hold; numbers as numbers."""
    if isinstance(value, int):
        return value, ""
    whole = earlier(value, timedelta(0))
    text = str(whole)
    digits = text.partition(".")[2]
    for mark in ("Z", "+", "-"):
        digits = digits.partition(mark)[0]
    moment = datetime.fromisoformat(_without_digits(text))
    if moment.tzinfo is not None:
        moment = moment.astimezone(timezone.utc).replace(tzinfo=None)
    return moment, digits.ljust(9, "0")


def _without_digits(text: str) -> str:
    whole, dot, rest = text.partition(".")
    if not dot:
        return text.replace("Z", "+00:00")
    for mark in ("Z", "+", "-"):
        at = rest.find(mark)
        if at >= 0:
            return whole + rest[at:].replace("Z", "+00:00")
    return whole
