"""Connections that threads borrow and give back: opening one costs 50 ms or more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, Protocol, TypeVar


class Closeable(Protocol):
    """Anything with a close."""

    def close(self) -> None:
        """Close it."""


C = TypeVar("C", bound=Closeable)


class Pool(Generic[C]):
    """As many connections as are used at the same time; one that failed is thrown away."""

    def __init__(self, connect: Callable[[], C]) -> None:
        self._connect = connect
        self._idle: list[C] = []
        self._lock = threading.Lock()

    @contextmanager
    def borrow(self) -> Iterator[C]:
        """A connection for the length of the block, used by nobody else.

        Whatever ends the block early (an error, a reader that stopped reading) ends the connection too: there may be
        rows on their way.
        """
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._connect()
        try:
            yield connection
        except BaseException:
            with suppress(Exception):
                connection.close()
            raise
        with self._lock:
            self._idle.append(connection)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            with suppress(Exception):
                connection.close()
