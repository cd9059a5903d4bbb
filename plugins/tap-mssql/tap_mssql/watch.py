"""A connection whose calls run in a thread of their own.

A driver waiting for its server hears no signal and, in some of its calls, knows no time-out. So the driver works in one
thread, and the tap waits for it in another, where it can be ended and can give up. The driver also gets on with the
next fetch while the tap casts and writes the last one. Fetching large values, mssql-python 1.16 holds the interpreter's
lock while it waits, and the tap with it: docs/guarantees.md.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from sync_rules.exits import SourceUnreachable

if TYPE_CHECKING:
    import pyarrow as pa

    from tap_mssql.client import Connection

Result = TypeVar("Result")
GRACE_SECONDS = 30
"""How much longer than the query time-out the tap waits: the driver's own time-out tells more."""
_CLOSE_SECONDS = 2.0
_AHEAD_BYTES = 33_554_432
"""No fetch is made ahead of its turn after one of more bytes: the two of them would be held at once."""


class WatchedConnection:
    """Another connection's calls, one at a time in one thread, none longer than the time-out and a grace."""

    def __init__(self, inner: Connection, timeout_seconds: float) -> None:
        self._inner = inner
        self._patience = timeout_seconds
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._closed = False
        threading.Thread(target=self._work, name="tap-mssql driver", daemon=True).start()

    def rows(
        self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog", most: int | None = None
    ) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        return self._result(self._ask(lambda: self._inner.rows(sql, values, table=table, most=most)), table)

    def batches(
        self,
        sql: str,
        values: Sequence[Any],
        fetch_size: int,
        schema: pa.Schema,
        *,
        table: str,
        most: int | None = None,
        asked_on: bool = False,
    ) -> Generator[pa.RecordBatch, None, None]:
        """The result as record batches, the next one fetched while the last is worked on, unless that one is large."""
        source = iter(self._inner.batches(sql, values, fetch_size, schema, table=table, most=most, asked_on=asked_on))
        coming: Future[pa.RecordBatch | None] | None = None
        try:
            while (batch := self._result(coming or self._ask(lambda: next(source, None)), table)) is not None:
                coming = self._ask(lambda: next(source, None)) if batch.nbytes <= _AHEAD_BYTES else None
                yield batch
                del batch
        finally:
            # In the driver's thread, after the fetch under way: a generator cannot be closed while it runs.
            self._ask(lambda: _close(source))

    def close(self) -> None:
        """Close it; may be called twice. One that does not answer is left to the end of the process."""
        if self._closed:
            return
        self._closed = True
        ended = self._ask(self._inner.close)
        self._calls.put(None)
        with suppress(NotYet):
            ended.result(_CLOSE_SECONDS)

    def _ask(self, call: Callable[[], Result]) -> Future[Result]:
        future: Future[Result] = Future()
        self._calls.put((future, call))
        return future

    def _result(self, future: Future[Result], table: str) -> Result:
        try:
            return future.result(self._patience + GRACE_SECONDS)
        except NotYet as error:
            waited = self._patience + GRACE_SECONDS
            raise SourceUnreachable(
                f"{table}: the server sent nothing for {waited:g} s; nothing is lost, run it again"
            ) from error

    def _work(self) -> None:
        while (asked := self._calls.get()) is not None:
            future, call = asked
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)


def _close(source: Iterator[Any]) -> None:
    close = getattr(source, "close", None)
    if close is not None:
        close()
