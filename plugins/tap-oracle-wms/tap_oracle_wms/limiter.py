"""Requests in flight and per second to one host, shared by every process on this machine.

A place in flight is a lock on one of N small files: the system frees it when its holder dies. The rate is one file
with the moment from which the next request may go; whoever holds the lock of the turn waits for that moment and sets
the next, so requests leave one by one however many processes there are. A server that asks for patience (Retry-After),
or refuses requests for there being too many, holds back all of them and slows them down.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import random
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sync_rules.exits import ConfigurationError, Stalled

LONGEST_HOLD_SECONDS = 3_600.0
_POLL_SECONDS = 0.004
_MARGIN = 1.05
"""Requests leave a little slower than allowed, or some that were late on the way would arrive too many at once."""
_FIRST_PACE, _SLOWEST_PACE = 0.02, 2.0
"""Seconds between two requests: from which refusals slow down where no rate is set, and beyond which they do not."""
_FASTER = 0.97
"""What one request leaves of a pace that was slowed down: after some 23 it goes twice as fast again."""
_SILENT_SECONDS = 5.0
_BOOT_BYTES = 36
_RATE = struct.Struct(f"<ddd{_BOOT_BYTES}s")


@dataclass(frozen=True)
class _Shared:
    """What all processes know of a host: when the next request may go, until when it wants none, the pace it can take.

    Moments are the machine's own, so they hold until it starts anew. `pace` is the seconds between two requests that
    the host's refusals have taught; 0 where it has refused none.
    """

    turn: float = 0.0
    held_until: float = 0.0
    pace: float = 0.0


class HostLimiter:
    """The limits of one host. `per_second` of None is no limit.

    `clock` has to run alike in all processes of the machine, as CLOCK_MONOTONIC does; `boot` tells one start of the
    machine from another. Raises ConfigurationError when the folder cannot be made.
    """

    def __init__(
        self,
        root: Path,
        host: str,
        *,
        in_flight: int,
        per_second: float | None,
        log: logging.Logger | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
        boot: bytes | None = None,
    ) -> None:
        self._in_flight = in_flight
        self._interval = _MARGIN / per_second if per_second else 0.0
        self._log = log or logging.getLogger(__name__)
        self._clock = clock
        self._boot = (_boot_id() if boot is None else boot).ljust(_BOOT_BYTES)[:_BOOT_BYTES]
        self._sleep = sleep or time.sleep
        # A place that this process returns is seen at once, another process's at the next look.
        self._returned = threading.Event()
        self._pause: Callable[[float], object] = sleep or self._returned.wait
        # One thread at a time looks for a place. Otherwise one that has just given its place back would find it free
        # before those that sleep between two looks, and the span whose rows are next could wait for ever.
        self._first_in_line = threading.Lock()
        self._told_until = 0.0
        self.folder = root / hashlib.sha256(host.encode()).hexdigest()[:16]
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"no folder for the limits can be made below {root}: {error.strerror}") from error

    @contextmanager
    def request(self, patience_seconds: float, check: Callable[[float], None] = lambda _: None) -> Iterator[None]:
        """A place in flight, from the moment the rate allows. Raises Stalled when there is none for that long.

        `check` is told for how many seconds the host wants no request, each time before they are waited for, and may
        raise: a hold can grow meanwhile.
        """
        while True:
            self._wait_out_hold(check)  # without a place: others that wait for one would take the wait for a stall
            place = self._place(patience_seconds)
            try:
                if not self._take_turn():
                    continue
                yield
                return
            finally:
                os.close(place)
                self._returned.set()

    def hold(self, seconds: float) -> None:
        """Let no request go for that long, from any process."""
        self._hold(seconds, slower=False)

    def slow_down(self, seconds: float) -> None:
        """The host refused a request for there being too many: hold all for that long, then go at half the pace.

        Refusals of requests that were under way together count once. Each request that goes makes the pace a little
        faster again, up to the rate that is set.
        """
        self._hold(seconds, slower=True)

    def held_for(self) -> float:
        """For how many seconds the host wants no request."""
        with self._locked() as file:
            return max(0.0, self._read(file).held_until - self._clock())

    def _hold(self, seconds: float, *, slower: bool) -> None:
        now = self._clock()  # before the lock: what is waited for there is part of the hold
        until = now + min(seconds, LONGEST_HOLD_SECONDS)
        with self._locked() as file:
            shared = self._read(file)
            pace = shared.pace
            if slower and shared.held_until <= now:
                pace = min(_SLOWEST_PACE, 2 * max(pace, self._interval or _FIRST_PACE))
            self._write(file, replace(shared, held_until=max(until, shared.held_until), pace=pace))

    def _wait_out_hold(self, check: Callable[[float], None]) -> None:
        while (seconds := self.held_for()) > 0:
            check(seconds)
            if seconds > _SILENT_SECONDS and self._clock() >= self._told_until:
                self._told_until = self._clock() + seconds
                self._log.info("the API asked for patience: no request goes for %.0f s", seconds)
            self._sleep(seconds)

    def _take_turn(self) -> bool:
        """Wait for the moment the rate allows. False when the host wants no request meanwhile."""
        # Two locks: a refusal is written down at once, and does not wait behind those that wait for their turn.
        with self._locked("turn"):
            while True:
                with self._locked() as file:
                    shared = self._read(file)
                    now = self._clock()
                    if shared.held_until > now:
                        return False
                    if shared.turn <= now:
                        turn = now + max(self._interval, shared.pace)
                        pace = _FASTER * shared.pace
                        self._write(file, replace(shared, turn=turn, pace=pace if pace > self._interval else 0.0))
                        return True
                self._sleep(shared.turn - now)

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
                handle = self._opened(f"place-{(first + number) % self._in_flight:02}")
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

    def _read(self, file: int) -> _Shared:
        raw = os.pread(file, _RATE.size, 0)
        if len(raw) != _RATE.size:
            return _Shared()
        turn, held_until, pace, boot = _RATE.unpack(raw)
        latest = self._clock() + LONGEST_HOLD_SECONDS + _SLOWEST_PACE + self._interval
        # Moments of a machine that has started anew since mean nothing; where it has no name for its starts, those
        # further away than any hold do not.
        return _Shared(turn, held_until, pace) if boot == self._boot and max(turn, held_until) <= latest else _Shared()

    def _write(self, file: int, shared: _Shared) -> None:
        try:
            os.pwrite(file, _RATE.pack(shared.turn, shared.held_until, shared.pace, self._boot), 0)
        except OSError as error:
            raise self._unkept(error) from error

    @contextmanager
    def _locked(self, name: str = "rate") -> Iterator[int]:
        file = self._opened(name)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    def _opened(self, name: str) -> int:
        try:
            return os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._unkept(error) from error

    def _unkept(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"the limits that all jobs share cannot be kept in {self.folder}: {error.strerror}")


def _boot_id() -> bytes:
    """What Linux calls this start of the machine; nothing elsewhere."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    except OSError:
        return b""


def host_of(base_url: str) -> str:
    """Host and port by which limits are shared: `https://h` and `https://H:443` are one."""
    split = urlsplit(base_url)
    return f"{split.hostname}:{split.port or (443 if split.scheme == 'https' else 80)}"


def limits_root(config: Mapping[str, Any]) -> Path:
    """The folder below which each host has its own: of the Meltano project, also for commands run by hand within it."""
    if config.get("limits_root"):
        return Path(config["limits_root"])
    given = os.environ.get("MELTANO_PROJECT_ROOT")
    here = Path.cwd()
    above = (folder for folder in (here, *here.parents) if (folder / "meltano.yml").is_file())
    project = Path(given) if given else next(above, None)
    if project is not None:
        return project / ".paralelo" / "limits"
    return Path(tempfile.gettempdir()) / f"paralelo-limits-{os.getuid()}"
