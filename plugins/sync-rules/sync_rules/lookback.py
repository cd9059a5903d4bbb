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
_DIGITS = re.compile(r"\.(\d+)")
_OFFSET = re.compile(r"([+-]\d\d)(\d\d)$")


def moment_of(text: str) -> datetime:
    """ISO 8601 text as a moment; what is smaller than a microsecond is cut off. Raises ValueError.

    By itself Python 3.10 reads three or six digits of the second, no `Z`, and no offset without a colon.
    """
    text = _OFFSET.sub(r"\1:\2", text.replace("Z", "+00:00"))
    return datetime.fromisoformat(_DIGITS.sub(lambda found: f".{found[1][:6]:0<6}", text))


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


def advance(bookmark: KeyValue, seen: KeyValue) -> KeyValue:
    """The higher of the two: a bookmark never goes back."""
    return max(bookmark, seen, key=_order)


def lower(one: KeyValue, other: KeyValue) -> KeyValue:
    """The lower of the two."""
    return min(one, other, key=_order)


def _order(value: KeyValue) -> tuple[datetime, str] | tuple[int, str]:
    """Sort key: moments by their instant and then by the digits a datetime cannot hold; numbers as numbers."""
    if isinstance(value, int):
        return value, ""
    moment, digits = moment_of(value), _DIGITS.search(value)
    if moment.tzinfo is not None:
        moment = moment.astimezone(timezone.utc).replace(tzinfo=None)
    return moment, (digits[1] if digits else "").ljust(9, "0")
