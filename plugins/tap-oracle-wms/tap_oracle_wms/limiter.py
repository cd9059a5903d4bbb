"""Requests in flight and per second to one host, shared by every process on this machine.

A place in flight is a lock on one of N small files: the system frees it when its holder dies. The rate is one file
with the moment from which the next request may go; whoever holds its lock waits for that moment and sets the next, so
requests leave one by one however many processes there are. A server that asks for patience (Retry-After) moves that
moment for all of them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sync_rules.exits import ConfigurationError, Stalled

LONGEST_HOLD_SECONDS = 3_600.0
_POLL_SECONDS = 0.004
_MARGIN = 1.05
"""Requests leave a little slower than allowed, or some that were late on the way would arrive too many at once."""
_MOMENT = struct.Struct("<d")


class HostLimiter:
    """The limits of one host. `per_second` of None is no limit.

    `clock` has to run alike in all processes of the machine, as CLOCK_MONOTONIC does. Raises ConfigurationError when
    the folder cannot be made.
    """

    def __init__(
        self,
        root: Path,
        host: str,
        *,
        in_flight: int,
        per_second: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._in_flight = in_flight
        self._interval = _MARGIN / per_second if per_second else 0.0
        self._clock = clock
        self._sleep = sleep or time.sleep
        # A place that this process returns is seen at once, another process's at the next look.
        self._returned = threading.Event()
        self._pause: Callable[[float], object] = sleep or self._returned.wait
        # One thread at a time looks for a place. Otherwise one that has just given its place back would find it free
        # before those that sleep between two looks, and the span whose rows are next could wait for ever.
        self._first_in_line = threading.Lock()
        self.folder = root / hashlib.sha256(host.encode()).hexdigest()[:16]
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"no folder for the limits can be made below {root}: {error.strerror}") from error

    @contextmanager
    def request(self, patience_seconds: float) -> Iterator[None]:
        """A place in flight, from the moment the rate allows. Raises Stalled when there is none for that long."""
        place = self._place(patience_seconds)
        try:
            self._wait_turn()
            yield
        finally:
            os.close(place)
            self._returned.set()

    def hold(self, seconds: float) -> None:
        """Let no request go for that long, from any process."""
        with self._rate() as file:
            until = self._clock() + min(seconds, LONGEST_HOLD_SECONDS)
            _write(file, max(until, self._next(file)))

    def _place(self, patience_seconds: float) -> int:
        since = self._clock()
        if not self._first_in_line.acquire(timeout=patience_seconds):
            raise self._stalled(patience_seconds)
        try:
            return self._look_for_place(since, patience_seconds)
        finally:
            self._first_in_line.release()

    def _look_for_place(self, since: float, patience_seconds: float) -> int:
        while True:
            self._returned.clear()
            first = random.randrange(self._in_flight)  # noqa: S311  # spreads processes over the files, guards nothing
            for number in range(self._in_flight):
                path = self.folder / f"place-{(first + number) % self._in_flight:02}"
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(handle)
                else:
                    return handle
            if self._clock() - since > patience_seconds:
                raise self._stalled(patience_seconds)
            self._pause(_POLL_SECONDS)

    def _stalled(self, seconds: float) -> Stalled:
        return Stalled(f"for {seconds:g} s other requests held all the {self._in_flight} places in flight")

    def _wait_turn(self) -> None:
        with self._rate() as file:
            wait = self._next(file) - self._clock()
            if wait > 0:
                self._sleep(wait)
            _write(file, self._clock() + self._interval)

    def _next(self, file: int) -> float:
        raw = os.pread(file, _MOMENT.size, 0)
        moment = float(_MOMENT.unpack(raw)[0]) if len(raw) == _MOMENT.size else 0.0
        # A moment further away than any hold was written before the machine started anew.
        return moment if moment <= self._clock() + LONGEST_HOLD_SECONDS + self._interval else 0.0

    @contextmanager
    def _rate(self) -> Iterator[int]:
        file = os.open(self.folder / "rate", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)


def _write(file: int, moment: float) -> None:
    os.pwrite(file, _MOMENT.pack(moment), 0)


def limits_root(config: Mapping[str, Any]) -> Path:
    """The folder below which each host has its own."""
    if config.get("limits_root"):
        return Path(config["limits_root"])
    project = os.environ.get("MELTANO_PROJECT_ROOT")
    if project:
        return Path(project) / ".paralelo" / "limits"
    return Path(tempfile.gettempdir()) / f"paralelo-limits-{os.getuid()}"
