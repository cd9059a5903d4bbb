"""As many readers as are asked for at once, and no more than the server lets in."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sync_rules.exits import SourceUnreachable
from tap_mssql.readers import Readers


class Server:
    """Lets `most` connections in."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.opened = 0
        self.closed = 0
        self.refusals: list[object] = []

    def connect(self) -> Any:
        if self.opened >= self.most:
            raise SourceUnreachable("no more connections")
        self.opened += 1
        return SimpleNamespace(close=self._close)

    def _close(self) -> None:
        self.closed += 1

    def readers(self) -> Readers:
        def make(connection: Any) -> Any:
            return SimpleNamespace(connection=connection)

        return Readers(make, self.connect(), self.connect, self.refusals.append)


def used_at_once(readers: Readers, threads: int) -> int:
    """How many readers were in use together, at most, by that many threads of 20 uses each."""
    lock, inside, most = threading.Lock(), 0, 0

    def use(_: int) -> None:
        nonlocal inside, most
        for _ in range(20):
            with readers.one():
                with lock:
                    inside += 1
                    most = max(most, inside)
                with lock:
                    inside -= 1

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(use, range(threads)))
    return most


def test_a_server_that_lets_no_more_in_is_read_with_what_there_is() -> None:
    server = Server(most=2)
    readers = server.readers()
    first = readers.one()
    second = readers.one()
    assert first.__enter__() is not second.__enter__()
    waits = ThreadPoolExecutor(1).submit(lambda: cast("Any", readers.one()).__enter__())
    first.__exit__(None, None, None)
    waits.result(timeout=30)
    assert server.opened == 2
    assert len(server.refusals) == 1


def test_connections_are_used_again_and_all_closed() -> None:
    server = Server(most=100)
    readers = server.readers()
    assert used_at_once(readers, 4) <= server.opened <= 4
    readers.close()
    readers.close()
    assert server.closed == server.opened


def test_a_connection_whose_query_failed_is_not_used_again() -> None:
    """It may be in the middle of an answer, or gone."""
    server = Server(most=2)
    readers = server.readers()
    with pytest.raises(SourceUnreachable), readers.one() as failed:
        raise SourceUnreachable("the connection was lost")
    with readers.one() as another:
        assert another is not failed
    readers.close()
    assert (server.opened, server.closed) == (2, 2)
