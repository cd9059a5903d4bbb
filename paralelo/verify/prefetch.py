"""A reader that runs ahead of its consumer in a thread of its own, by a bounded number of batches."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")

_AHEAD = 4
_POLL_SECONDS = 0.2


@contextmanager
def prefetched(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """The same items. An error of the reader is raised where the item would have been; leaving the block ends it."""
    reader = _Reader(items)
    reader.thread.start()
    try:
        yield reader.items()
    finally:
        reader.stopped.set()
        reader.thread.join()


class _Reader(Generic[T]):
    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._queue: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(_AHEAD)
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._read, name="verify-read", daemon=True)

    def items(self) -> Iterator[T]:
        while True:
            item, error = self._queue.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item

    def _read(self) -> None:
        try:
            # Closed in this thread: it is this one's connection that the reader gives back.
            with closing(self._items) as items:  # type: ignore[type-var]  # every reader here is a generator
                for item in items:
                    if not self._put((item, None)):
                        return
            self._put((None, None))
        except BaseException as error:
            self._put((None, error))

    def _put(self, entry: tuple[T | None, BaseException | None]) -> bool:
        while not self.stopped.is_set():
            try:
                self._queue.put(entry, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False
