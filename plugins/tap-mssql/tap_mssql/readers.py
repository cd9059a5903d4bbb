"""The readers of one table: as many as are asked for at the same time, and as the server lets in."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sync_rules.exits import SyncError

from tap_mssql.client import Connection
from tap_mssql.pages import LargeRows, PageReader


class Readers:
    """A reader for each thread that asks for one at the same time; a connection is opened once and used again.

    A server that lets no more in (`too_few` is told why) is read with the readers there are: one always is.
    """

    def __init__(
        self,
        make: Callable[[Connection], PageReader],
        connection: Connection,
        connect: Callable[[], Connection],
        too_few: Callable[[SyncError], None],
    ) -> None:
        self._make = make
        self._connect = connect
        self._too_few = too_few
        self._full = False
        self.first = make(connection)
        self._all = [self.first]
        self._failed: list[PageReader] = []
        self._free: queue.LifoQueue[PageReader] = queue.LifoQueue()
        self._free.put(self.first)

    @contextmanager
    def one(self) -> Iterator[PageReader]:
        """A reader that nobody else uses meanwhile. One whose query failed is not used again."""
        try:
            reader = self._free.get_nowait()
        except queue.Empty:
            reader = self._another() or self._free.get()
        give_back = self._failed.append
        try:
            yield reader
            give_back = self._free.put
        except LargeRows:
            give_back = self._free.put
            raise
        finally:
            give_back(reader)

    @property
    def in_use(self) -> bool:
        """Whether a thread still reads."""
        return len(self._all) > self._free.qsize() + len(self._failed)

    def close(self) -> None:
        """Close the connections of those that are not in use; may be called twice."""
        self._all.clear()
        for reader in self._failed:
            reader.connection.close()
        while True:
            try:
                self._free.get_nowait().connection.close()
            except queue.Empty:
                return

    def _another(self) -> PageReader | None:
        if self._full:
            return None
        try:
            reader = self._make(self._connect())
        except SyncError as error:
            if not self._full:
                self._full = True
                self._too_few(error)
            return None
        self._all.append(reader)
        return reader
