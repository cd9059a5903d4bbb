"""Connections that threads borrow and give back: opening one costs 50 ms or more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, Protocol, TypeVar


class Closeable(Protocol):
    """Anything with a close."""

    def close(self) -> None:
        """Close it."""


_IDLE_SECONDS = 1.0

C = TypeVar("C", bound=Closeable)


class Pool(Generic[C]):
    """As many connections as are used at the same time; one that failed is thrown away.

    `alive` asks one that lay idle for a while: a server or a firewall may have ended it meanwhile.
    """

    def __init__(self, connect: Callable[[], C], alive: Callable[[C], bool] = lambda _: True) -> None:
        self._connect = connect
        self._alive = alive
        self._idle: list[tuple[C, float]] = []
        self._lock = threading.Lock()

    @contextmanager
    def borrow(self) -> Iterator[C]:
        """A connection for the length of the block, used by nobody else.

        Whatever ends the block early (an error, a reader that stopped reading) ends the connection too: there may be
        rows on their way.
        """
        connection = self._take() or self._connect()
        try:
            yield connection
        except BaseException:
            with suppress(Exception):
                connection.close()
            raise
        with self._lock:
            self._idle.append((connection, time.monotonic()))

    def _take(self) -> C | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection, since = self._idle.pop()
            if time.monotonic() - since < _IDLE_SECONDS or self._alive(connection):
                return connection
            with suppress(Exception):
                connection.close()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            with suppress(Exception):
                connection.close()
