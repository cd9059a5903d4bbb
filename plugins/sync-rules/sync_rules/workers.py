"""Threads that fetch while the caller writes.

They are daemons: a tap that is told to end must not wait for an answer that may take an hour.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K")


class Workers(Generic[K, T]):
    """Runs tasks in `count` threads; results come back in the order they finish, each with its token."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.under_way = 0
        self._tasks: queue.SimpleQueue[tuple[K, Callable[[], T]] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[K, T | BaseException]] = queue.SimpleQueue()
        for number in range(count):
            threading.Thread(target=self._work, name=f"fetch-{number}", daemon=True).start()

    def submit(self, token: K, task: Callable[[], T]) -> None:
        """Run the task as soon as a thread is free."""
        self.under_way += 1
        self._tasks.put((token, task))

    def result(self, *, wait: bool = True) -> tuple[K, T] | None:
        """The next result, or None when none is there (or nothing is under way). Raises what the task raised."""
        if not self.under_way:
            return None
        try:
            token, value = self._results.get(block=wait)
        except queue.Empty:
            return None
        self.under_way -= 1
        if isinstance(value, BaseException):
            raise value
        return token, value

    def close(self) -> None:
        """Let the threads end after what they have at hand; what waits is dropped."""
        while True:
            try:
                self._tasks.get_nowait()
            except queue.Empty:
                break
        for _ in range(self.count):
            self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            token, run = task
            try:
                self._results.put((token, run()))
            except BaseException as error:  # raised again where the result is taken
                self._results.put((token, error))
