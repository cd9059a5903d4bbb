"""One deadline for a whole request, whatever trickles in meanwhile.

httpx's time-outs begin anew with every byte: headers that drip, interim answers without end and packed bytes that
unpack to nothing would hold a request for ever.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ssl import SSLContext
from typing import Any

import httpcore
import httpx


class Deadline(threading.local):
    """When what the calling thread does at the network has to be over."""

    _at = math.inf

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let nothing in this block wait for longer."""
        before, self._at = self._at, time.monotonic() + seconds
        try:
            yield
        finally:
            self._at = before

    def cut(self, timeout: float | None, late: type[Exception]) -> float | None:
        """A time-out that ends no later. Raises `late` where the time is up."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise late("the time for the whole request is up")
        return timeout if math.isinf(left) else left if timeout is None else min(timeout, left)

    def hold(self, http: httpx.Client) -> None:
        """Have every connection of the client keep to it.

        httpx takes no network backend to hand on: it is put in from outside, hence the narrow bounds of its release.
        """
        for transport in (http._transport, *http._mounts.values()):
            if isinstance(transport, httpx.HTTPTransport):
                pool = transport._pool
                pool._network_backend = _Backend(pool._network_backend, self)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.cut(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.cut(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        timeout = self._deadline.cut(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, inner: httpcore.NetworkBackend, deadline: Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        timeout = self._deadline.cut(timeout, httpcore.ConnectTimeout)
        made = self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(made, self._deadline)

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)
