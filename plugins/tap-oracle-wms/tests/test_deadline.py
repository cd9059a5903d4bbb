"""The deadline of a whole request holds however little comes however often."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
from tap_oracle_wms.deadline import Deadline

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
GZIP_HEAD, EMPTY_BLOCK = gzip.compress(b"")[:10], b"\x00\x00\x00\xff\xff"
DRIPS = {
    "headers": (HEAD, b"X-Slow: 1\r\n"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body": (HEAD + b"Content-Length: 9999999\r\n\r\n", b" "),
    "chunk extensions": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a"),
    "trailers": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n", b"X-Slow: 1\r\n"),
    "packed nothing": (
        HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\na\r\n" + GZIP_HEAD + b"\r\n",
        b"5\r\n" + EMPTY_BLOCK + b"\r\n",
    ),
}


@pytest.fixture
def dripping(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server that sends something every few milliseconds, for ever."""
    first, drop = DRIPS[request.param]
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(65536)
                    connection.sendall(first)
                    while not over.wait(0.005):
                        connection.sendall(drop)
                except OSError:
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve)
        server.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        over.set()
        listening.shutdown(socket.SHUT_RDWR)
    server.join()


@pytest.mark.parametrize("dripping", DRIPS, indirect=True)
def test_it_ends_in_time_whatever_drips(dripping: str) -> None:
    deadline = Deadline()
    with httpx.Client(timeout=600, trust_env=False) as http:
        deadline.hold(http)
        with pytest.raises(httpx.ReadTimeout), deadline.within(0.3):
            http.get(dripping)


def test_each_thread_has_its_own() -> None:
    deadline = Deadline()
    found: list[float | None] = []
    with deadline.within(0.0):
        other = threading.Thread(target=lambda: found.append(deadline.cut(7.0, RuntimeError)))
        other.start()
        other.join()
        with pytest.raises(RuntimeError):
            deadline.cut(7.0, RuntimeError)
    assert found == [7.0]
    assert deadline.cut(None, RuntimeError) is None
