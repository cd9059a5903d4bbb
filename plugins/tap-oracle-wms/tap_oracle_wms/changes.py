"""Rows by ascending modification time, although rows move while they are read.

A row that changes gets a new time and moves to the end, so a page number or an offset would skip others. Each request
therefore starts at the last time seen, inclusive, and rows already handed over are known by their id. When one time
fills a whole page, that moment is read to its end by id, which no change can reorder, and then left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sync_rules.lookback import moment_of

from tap_oracle_wms.errors import BadAnswer

MOMENT = 1_000_000
"""Microseconds of the moment that is read by id: a second, since an API may write fewer digits than it sorts by."""
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class ChangePage:
    """Rows in the order the API gave them; `last` is true when the API has none after them."""

    batch: pa.RecordBatch
    last: bool


@dataclass(frozen=True)
class Changes:
    """Rows to hand over. Up to the time `reached` nothing is left unread, and of its moment nothing up to `above`."""

    batch: pa.RecordBatch
    reached: str
    above: int | None = None


ByTime = Callable[[str], ChangePage]
"""Asks for the first rows whose time is at least that, by (time, id)."""
ByMoment = Callable[[str, str, "int | None"], ChangePage]
"""Asks for the first rows with the first time <= time < the second and id above the number, by id."""


class ChangeReader:
    """Reads from a time on; `key` and `cursor` are the columns' names."""

    def __init__(self, name: str, key: str, cursor: str, by_time: ByTime, by_moment: ByMoment) -> None:
        self._name = name
        self._key = key
        self._cursor = cursor
        self._by_time = by_time
        self._by_moment = by_moment

    def read(self, start: str, above: int | None = None) -> Iterator[Changes]:
        """Every row once, in batches of at most a page. With `above`, the moment of `start` is gone on with there."""
        low, low_us = start, None
        seen = np.empty(0, dtype=np.int64)
        if above is not None:
            at = _microseconds_of(start)
            yield from self._moment(at, seen, above)
            low = text_of(_moment_of(at) + MOMENT)
        while True:
            page = self._by_time(low)
            ids, times = self._checked(page.batch, low_us)
            fresh = ~(np.isin(ids, seen) & (times == low_us)) if len(seen) else np.ones(len(ids), dtype=bool)
            if fresh.any():
                rows = page.batch if fresh.all() else page.batch.filter(pa.array(fresh))
                yield Changes(rows, text_of(int(times[-1])))
            if page.last:
                return
            if not len(ids):
                raise BadAnswer(f"{self._name}: the API answered an empty page and says that more follow")
            end = int(times[-1])
            if int(times[0]) == end:  # one time fills the page: asking from it on would answer the same page again
                known = np.union1d(seen, ids) if low_us == end else ids
                yield from self._moment(end, known)
                low_us, low = None, text_of(_moment_of(end) + MOMENT)
                seen = np.empty(0, dtype=np.int64)
            else:
                low_us, low = end, text_of(end)
                seen = ids[times == end]

    def _moment(self, at: int, known: npt.NDArray[np.int64], above: int | None = None) -> Iterator[Changes]:
        """The rows of the moment of `at` that are not `known`, by id. Until its end, `at` is as far as all is read."""
        first = _moment_of(at)
        while True:
            page = self._by_moment(text_of(first), text_of(first + MOMENT), above)
            ids = page.batch.column(self._key).to_numpy()
            if len(ids) and ((above is not None and ids[0] <= above) or bool(np.any(np.diff(ids) <= 0))):
                raise BadAnswer(f"{self._name}: rows came out of order, or a page came again")
            # Rows of the moment before `at` were handed over on the way there, in the order of time.
            fresh = (_microseconds(page.batch.column(self._cursor)) >= at) & ~np.isin(ids, known)
            if fresh.any():
                yield Changes(page.batch.filter(pa.array(fresh)), text_of(at), int(ids[-1]))
            if page.last:
                return
            if not len(ids):
                raise BadAnswer(f"{self._name}: the API answered an empty page and says that more follow")
            above = int(ids[-1])

    def _checked(
        self, batch: pa.RecordBatch, low_us: int | None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        ids = batch.column(self._key).to_numpy()
        cursor = batch.column(self._cursor)
        if cursor.null_count:
            raise BadAnswer(f"{self._name}: the API answered rows without {self._cursor} to a filter on it")
        times = _microseconds(cursor)
        if len(times) and ((low_us is not None and times[0] < low_us) or bool(np.any(np.diff(times) < 0))):
            raise BadAnswer(f"{self._name}: rows came out of the order of {self._cursor}: the API did not sort them")
        return ids, times


def _moment_of(microseconds: int) -> int:
    return microseconds - microseconds % MOMENT


def text_of(microseconds: int) -> str:
    """A moment as the API's filters take it, with six digits and offset, so that no facility's zone comes into it."""
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds")


def _microseconds_of(text: str) -> int:
    return (moment_of(with_offset(text)) - _EPOCH) // timedelta(microseconds=1)


def with_offset(moment: str) -> str:
    """A moment's ISO 8601 text with an offset; one without is UTC: the API would read it in the facility's zone."""
    found = moment_of(moment)
    return (found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)).isoformat()


def _microseconds(column: pa.Array) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = pc.cast(column, pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy()
    return found
