"""Limits that many processes share; the clock is the test's own."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import threading
import time
from pathlib import Path

import pytest
from sync_rules.exits import ConfigurationError, Stalled
from tap_oracle_wms.limiter import HostLimiter, host_of, limits_root

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


def test_a_hold_beyond_reason_is_kept_for_an_hour(tmp_path: Path) -> None:
    clock = Clock()
    limiter(tmp_path, clock).hold(1e9)
    with limiter(tmp_path, clock).request(1):
        assert clock.now == pytest.approx(1_000 + 3_600)


def test_nobody_else_has_the_turn_while_one_waits_for_it(tmp_path: Path) -> None:
    clock = Clock()
    refused = []

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        with (shared.folder / "turn").open("r+b") as other:
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                refused.append(1)

    shared = HostLimiter(tmp_path, "h:1", in_flight=1, per_second=10, clock=clock, sleep=sleep)
    for _ in range(2):
        with shared.request(1):
            pass
    assert refused == [1]


def test_a_refusal_does_not_wait_behind_those_that_wait_for_their_turn(tmp_path: Path) -> None:
    clock = Clock()
    other = limiter(tmp_path, clock, per_second=10)
    refused = threading.Thread(target=other.hold, args=(30,), daemon=True)

    def sleep(seconds: float) -> None:
        if refused.ident is None:
            refused.start()
            refused.join(timeout=10)
        clock.sleep(seconds)

    shared = HostLimiter(tmp_path, "h:1", in_flight=1, per_second=10, clock=clock, sleep=sleep)
    for _ in range(2):
        with shared.request(1):
            pass
    assert clock.now >= 1_030


def test_a_moment_from_before_the_machine_started_anew_is_ignored(tmp_path: Path) -> None:
    clock = Clock()
    clock.now = 900_000.0
    limiter(tmp_path, clock).hold(5)
    clock.now = 10.0
    with limiter(tmp_path, clock).request(1):
        assert clock.now == 10.0


def test_a_new_start_of_the_machine_ends_a_hold(tmp_path: Path) -> None:
    """Also one that, by the new start's clock, is near: the old one may have ended within the hour."""
    clock = Clock()
    HostLimiter(tmp_path, "h:1", in_flight=1, per_second=1, clock=clock, boot=b"one").hold(600)
    clock.now = 10.0
    again = HostLimiter(tmp_path, "h:1", in_flight=1, per_second=1, clock=clock, sleep=clock.sleep, boot=b"two")
    with again.request(1):
        assert clock.now == 10.0


def test_a_hold_longer_than_the_patience_is_no_stall(tmp_path: Path) -> None:
    """It is waited for without a place, so that nobody takes it for requests that hold theirs."""
    places = tmp_path / hashlib.sha256(b"h:1").hexdigest()[:16]
    clock = Clock()

    def sleep(seconds: float) -> None:
        assert not list(places.glob("place-*"))
        clock.sleep(seconds)

    shared = HostLimiter(tmp_path, "h:1", in_flight=1, per_second=None, clock=clock, sleep=sleep)
    shared.hold(600)
    with shared.request(3):
        assert clock.now >= 1_600


def test_a_hold_that_grows_while_it_is_waited_for_is_told_again(tmp_path: Path) -> None:
    clock = Clock()
    told: list[float] = []

    def check(seconds: float) -> None:
        told.append(seconds)
        if seconds > 100:
            raise TimeoutError
        other.hold(600)

    one, other = limiter(tmp_path, clock), limiter(tmp_path, clock)
    one.hold(5)
    with pytest.raises(TimeoutError), one.request(1, check):
        raise AssertionError
    assert told == [pytest.approx(5), pytest.approx(595)]


def test_refusals_slow_all_jobs_down_until_requests_pass_again(tmp_path: Path) -> None:
    clock = Clock()
    one, other = limiter(tmp_path, clock, per_second=50), limiter(tmp_path, clock, per_second=50)

    def gap() -> float:
        with other.request(1):
            before = clock.now
        with other.request(1):
            return clock.now - before

    usual = gap()
    for _ in range(3):
        one.slow_down(1)  # three that were under way together count once
    assert 1.8 * usual < gap() < 2 * usual + 1e-9
    clock.sleep(2)
    one.slow_down(1)
    assert gap() > 3 * usual
    for _ in range(100):
        gap()
    assert gap() == pytest.approx(usual)


def test_a_server_with_a_lower_limit_is_read_at_about_its_pace(tmp_path: Path) -> None:
    clock = Clock()
    shared = limiter(tmp_path, clock, per_second=50)
    sent: list[float] = []
    refused = 0
    while len(sent) < 200:
        with shared.request(1):
            if len([at for at in sent if clock.now - at < 1.0]) < 5:
                sent.append(clock.now)
                continue
        refused += 1
        shared.slow_down(1)
    assert refused < 30


def test_the_wait_of_others_is_no_part_of_a_later_hold(tmp_path: Path) -> None:
    clock = Clock()
    one = limiter(tmp_path, clock)
    one.hold(600)
    clock.sleep(599)
    one.hold(0.5)
    assert one.held_for() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://h/x", "h:443"),
        ("https://H:443/y", "h:443"),
        ("http://h", "h:80"),
        ("https://h:8443/x", "h:8443"),
    ],
)
def test_one_host_has_one_name(address: str, host: str) -> None:
    assert host_of(address) == host


def test_commands_run_by_hand_share_the_projects_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meltano.yml").touch()
    (tmp_path / "some" / "folder").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "some" / "folder")
    monkeypatch.delenv("MELTANO_PROJECT_ROOT", raising=False)
    by_hand = limits_root({})
    monkeypatch.setenv("MELTANO_PROJECT_ROOT", str(tmp_path))
    assert by_hand == limits_root({}) == tmp_path / ".paralelo" / "limits"
    assert limits_root({"limits_root": "/elsewhere"}) == Path("/elsewhere")


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


@pytest.mark.parametrize("file", ["rate", "turn", "place-00"])
def test_limits_that_cannot_be_kept_are_told(tmp_path: Path, file: str) -> None:
    """Another user's files, or a disk that is full: no request goes without its limits."""
    kept = HostLimiter(tmp_path, "h", in_flight=1, per_second=100)
    (kept.folder / file).mkdir()
    with pytest.raises(ConfigurationError, match=r"limits that all jobs share cannot be kept in .*: Is a directory"):
        kept.request(1).__enter__()


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    kept = HostLimiter(tmp_path, "h", in_flight=1, per_second=100)
    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(ConfigurationError, match=r"cannot be kept in .*: No space left"):
        kept.slow_down(1)
