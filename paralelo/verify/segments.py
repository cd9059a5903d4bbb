"""A table, a range of its key, and how the one is cut into smaller ones.

A range is over whole numbers whatever the column is: integers are themselves, a date is its day, a datetime2 its
microsecond, both counted from 1970. Cutting is then arithmetic, and each server gets the bounds in its column's own
type, so that an index on the key is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from paralelo.verify.columns import Column, TablePair

SPLIT_FACTOR = 32
_EPOCH_DAY = date(1970, 1, 1)
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class KeyRange:
    """From `lower` (in it) to `upper` (not in it); None is open."""

    lower: int | None = None
    upper: int | None = None

    def __str__(self) -> str:
        lower = "first" if self.lower is None else f"{self.lower:,}"
        upper = "last" if self.upper is None else f"{self.upper - 1:,}"
        return f"{lower} to {upper}"


@dataclass(frozen=True)
class TableSegment:
    """The rows of a table whose axis lies in a range; all of them where the table has no axis.

    `least` and `most` are the lowest and highest value known to be there: what an open range is cut by.
    """

    table: TablePair
    range: KeyRange = KeyRange()
    least: int | None = None
    most: int | None = None

    def within(self, lower: int | None, upper: int | None) -> TableSegment:
        """The same table's rows in another range."""
        return replace(self, range=KeyRange(lower, upper))

    @property
    def divisible(self) -> bool:
        """Whether there is more than one value to cut between."""
        return bool(self.cuts(2))

    def cuts(self, parts: int) -> tuple[int, ...]:
        """Where to cut into at most `parts` pieces of about even width: ascending, strictly inside the range."""
        axis, first = self.table.axis, self._first
        if axis is None or first is None:
            return ()
        step, width = grain(axis), self._width
        places = {(first + width * part // parts) // step * step for part in range(1, parts)}
        return tuple(sorted(place for place in places if place > first))

    def split(self, parts: int = SPLIT_FACTOR) -> tuple[TableSegment, ...]:
        """At most `parts` segments that hold each of this one's rows exactly once, in order."""
        bounds = (self.range.lower, *self.cuts(parts), self.range.upper)
        return tuple(self.within(lower, upper) for lower, upper in pairwise(bounds))

    @property
    def _first(self) -> int | None:
        return self.least if self.range.lower is None else self.range.lower

    @property
    def _width(self) -> int:
        """How many values lie in the range, as far as it is known to be filled."""
        last = self.most if self.range.upper is None else self.range.upper - 1
        return 0 if self._first is None or last is None else last - self._first + 1


def position(value: Any) -> int:
    """Where a value of the axis lies on the number line."""
    if isinstance(value, datetime):
        return (value.replace(tzinfo=None) - _EPOCH) // timedelta(microseconds=1)
    if isinstance(value, date):
        return (value - _EPOCH_DAY).days
    return int(value)


def within_years(column: Column | None, at: int) -> int:
    """The place, or the nearest that has a name: PostgreSQL's dates may be infinite, or after the year 9999."""
    if column is None or column.family not in ("date", "timestamp"):
        return at
    ends = (date.min, date.max) if column.family == "date" else (datetime.min, datetime.max)
    first, last = map(position, ends)
    return min(max(at, first), last)


def source_literal(column: Column, at: int) -> str:
    """The bound in T-SQL, in the column's exact type: another type would turn an index seek into a scan."""
    return f"CAST({_plain(column, at)} AS {column.declared})"


def target_literal(column: Column, at: int) -> str:
    """The bound in PostgreSQL's SQL, in the column's exact type."""
    return f"CAST({_plain(column, at)} AS {column.stored})"


def label(column: Column, at: int) -> str:
    """The bound as people read it."""
    return _plain(column, at).strip("'").replace("T00:00:00.000000", "")


def grain(column: Column) -> int:
    """The distance between neighbouring values: datetime2(3) rounds a bound between two milliseconds."""
    match = re.fullmatch(r"datetime2\((\d)\)", column.declared)
    return 10 ** max(0, 6 - int(match[1])) if match else 1


def _plain(column: Column, at: int) -> str:
    if column.family == "date":
        return f"'{(_EPOCH_DAY + timedelta(days=at)).isoformat()}'"
    if column.family == "timestamp":
        return f"'{(_EPOCH + timedelta(microseconds=at)).isoformat(timespec='microseconds')}'"
    return str(at)
