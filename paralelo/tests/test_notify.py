"""Notices, sent to a webhook on loopback."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sync_rules.exits import ConfigurationError, Exit

from paralelo.notify import Notifier, from_settings
from paralelo.redact import redactor
from paralelo.supervise import Event

from .world import FakeClock

pytest.importorskip("apprise")
FAILED = Event("failed", "bi-credores", "full", 4, "login failed with a-planted-secret", Exit.SOURCE_UNREACHABLE)
RECOVERING = Event("recovering", "bi-credores", "full", 2, "stalled", Exit.STALLED, 300.0)
FINISHED = Event("finished", "bi-credores", "full", 1, "finished", Exit.FINISHED)


def send(url: str, when: str = "") -> list[str]:
    trouble: list[str] = []
    settings = {"PARALELO_NOTIFY_URLS": url, "PARALELO_NOTIFY_ON": when}
    notifier = from_settings(settings, redactor(["a-planted-secret"]), trouble.append)
    for event in (FAILED, RECOVERING, FINISHED, Event("started", "bi-credores", "full", 1)):
        notifier.about(event)
        notifier.finish()
    return trouble


def test_failures_and_recoveries_are_told_and_hold_no_secret(webhook: tuple[str, list[dict[str, str]]]) -> None:
    url, received = webhook
    assert send(url) == []
    assert [notice["title"] for notice in received] == [
        "Paralelo: full sync of bi-credores failed",
        "Paralelo: full sync of bi-credores is restarted",
    ]
    assert received[0]["message"] == "login failed with *** (exit 3), after 4 attempts."
    assert received[1]["message"] == "stalled. Attempt 2 begins after 300 seconds."


def test_a_refusal_because_another_sync_runs_is_told_nobody() -> None:
    sent: list[str] = []
    notifier = Notifier(lambda title, *_: sent.append(title), frozenset({"failure"}), redactor())
    notifier.about(replace(FAILED, attempt=1, exit=Exit.ALREADY_RUNNING, refused=True))
    notifier.about(replace(FAILED, attempt=4, exit=Exit.ALREADY_RUNNING))
    notifier.finish()
    assert len(sent) == 1


def test_a_server_that_answers_nobody_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once for each table of the run."""
    clock = FakeClock()
    monkeypatch.setattr("paralelo.notify.time.monotonic", clock.monotonic)
    notifier = Notifier(lambda *_: None, frozenset({"failure"}), redactor())
    notifier._threads = [SlowThread(clock) for _ in range(30)]  # type: ignore[misc]  # nothing is to run
    began = clock.at
    notifier.finish(20)
    assert clock.at - began == 20


class SlowThread:
    """A notice that never ends."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def join(self, timeout: float) -> None:
        self._clock.sleep(timeout)


def test_what_is_told_can_be_chosen(webhook: tuple[str, list[dict[str, str]]]) -> None:
    url, received = webhook
    send(url, "success")
    assert [notice["type"] for notice in received] == ["success"]


def test_an_address_nobody_answers_at_is_trouble_and_no_failure() -> None:
    assert len(send("json://127.0.0.1:1/")) == 2


def test_nonsense_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigurationError) as refused:
        send("nonsense://a-planted-secret")
    assert "planted" not in str(refused.value)
    with pytest.raises(ConfigurationError):
        send("json://127.0.0.1/", "sometimes")
