"""Limits that many processes share; the clock is the test's own."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from sync_rules.exits import Stalled
from tap_oracle_wms.limiter import HostLimiter

from sandbox.wms.requests_log import most_within


class Clock:
    """Moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def limiter(root: Path, clock: Clock, *, in_flight: int = 2, per_second: float | None = None) -> HostLimiter:
    return HostLimiter(root, "h:1", in_flight=in_flight, per_second=per_second, clock=clock, sleep=clock.sleep)


def test_two_jobs_together_stay_below_the_rate(tmp_path: Path) -> None:
    clock = Clock()
    jobs = [limiter(tmp_path, clock, per_second=10), limiter(tmp_path, clock, per_second=10)]
    sent = []
    for number in range(60):
        with jobs[number % 2].request(1):
            sent.append(clock.now)
        clock.sleep(0.05 if number % 7 else 0.5)
    assert most_within(sent, 1.0 - 1e-6) <= 10


def test_two_jobs_together_stay_below_the_number_in_flight(tmp_path: Path) -> None:
    clock = Clock()
    one, other = limiter(tmp_path, clock), limiter(tmp_path, clock)
    with one.request(1), other.request(1), pytest.raises(Stalled), other.request(1):
        pass
    with one.request(1), other.request(1):
        pass


def test_another_host_has_limits_of_its_own(tmp_path: Path) -> None:
    clock = Clock()
    one = limiter(tmp_path, clock, in_flight=1)
    other = HostLimiter(tmp_path, "h:2", in_flight=1, per_second=None, clock=clock, sleep=clock.sleep)
    with one.request(0.1), other.request(0.1):
        pass


def test_a_server_that_asks_for_patience_gets_it_from_all(tmp_path: Path) -> None:
    clock = Clock()
    one, other = limiter(tmp_path, clock), limiter(tmp_path, clock)
    one.hold(30)
    with other.request(1):
        assert clock.now >= 1_030


def test_a_moment_from_before_the_machine_started_anew_is_ignored(tmp_path: Path) -> None:
    clock = Clock()
    clock.now = 900_000.0
    limiter(tmp_path, clock).hold(5)
    clock.now = 10.0
    with limiter(tmp_path, clock).request(1):
        assert clock.now == 10.0


def test_a_thread_that_waits_comes_before_one_that_has_just_had_a_place(tmp_path: Path) -> None:
    """Else a span whose rows are needed next could wait while another takes every turn."""
    looked = threading.Event()
    order: list[str] = []

    def sleep(_: float) -> None:
        looked.set()
        time.sleep(0.05)

    shared = HostLimiter(tmp_path, "h:1", in_flight=1, per_second=None, sleep=sleep)

    def ask(name: str) -> None:
        with shared.request(60):
            order.append(name)

    other = threading.Thread(target=ask, args=("waits",))
    with shared.request(60):
        other.start()
        assert looked.wait(60)
    ask("comes again")
    other.join(60)
    assert order == ["waits", "comes again"]
