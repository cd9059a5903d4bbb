"""Notices, sent to a webhook on loopback."""

from __future__ import annotations

import html
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace

import pytest
from sync_rules.exits import ConfigurationError, Exit

from paralelo.notify import Notifier, from_settings, worded
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


@pytest.mark.parametrize(("pause", "told"), [(1.04, "1 second."), (2.0, "2 seconds."), (0.0, "no pause.")])
def test_a_pause_is_told_in_words(pause: float, told: str) -> None:
    assert worded(replace(RECOVERING, pause=pause))[1].endswith(f"begins after {told}")


def test_a_refusal_because_another_sync_runs_is_told_nobody() -> None:
    sent: list[str] = []
    notifier = Notifier([lambda title, *_: sent.append(title)], frozenset({"failure"}), redactor())
    notifier.about(replace(FAILED, attempt=1, exit=Exit.ALREADY_RUNNING, refused=True))
    notifier.about(replace(FAILED, attempt=4, exit=Exit.ALREADY_RUNNING))
    notifier.finish()
    assert len(sent) == 1


def test_a_server_that_answers_nobody_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once for each table of the run."""
    clock, trouble = FakeClock(), list[str]()
    monkeypatch.setattr("paralelo.notify.time.monotonic", clock.monotonic)
    notifier = Notifier([lambda *_: None], frozenset({"failure"}), redactor(), trouble.append)
    notifier._threads = [SlowThread(clock) for _ in range(30)]  # type: ignore[misc]  # nothing is to run
    began = clock.at
    notifier.finish(20)
    assert clock.at - began == 20
    assert len(trouble) == 1


class SlowThread:
    """A notice that never ends."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def join(self, timeout: float) -> None:
        self._clock.sleep(timeout)

    def is_alive(self) -> bool:
        return True


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """An address whose server answers each request so."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.recv(65_536)
                        answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"json://127.0.0.1:{server.getsockname()[1]}/"


def test_a_server_that_drips_does_not_keep_the_process() -> None:
    program = (
        "import os, sys; from paralelo.notify import from_settings; from paralelo.redact import redactor\n"
        "from paralelo.supervise import Event\n"
        "notifier = from_settings(os.environ, redactor(), print)\n"
        "notifier.about(Event('failed', 'bi-credores', 'full', 1)); notifier.finish(0.5)"
    )

    def drip(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"H")
            time.sleep(0.2)

    with answering(drip) as url, answering(drip) as other:
        environment = {**os.environ, "PARALELO_NOTIFY_URLS": f"{url} {other}"}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, timeout=30, capture_output=True, text=True, check=True)
    assert "still under way after 0.5 seconds" in done.stdout


def test_a_redirected_notice_is_not_taken_for_sent() -> None:
    """It would arrive as a GET, without what it is to tell."""

    def told(status: str, more: str = "") -> Callable[[socket.socket], None]:
        return lambda connection: connection.sendall(f"HTTP/1.1 {status}\r\n{more}Content-Length: 0\r\n\r\n".encode())

    with answering(told("200 OK")) as there:
        assert send(there, "failure") == []
        with answering(told("302 Found", f"Location: {there.replace('json', 'http')}\r\n")) as moved:
            assert len(send(moved, "failure")) == 1


def test_a_notice_that_looks_like_markup_is_still_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Telegram, which is told that it gets HTML, refuses what is none."""
    import apprise

    sent: list[str] = []
    monkeypatch.setattr(apprise.NotifyBase, "notify", lambda _, body, **__: sent.append(body) or True)
    settings = {"PARALELO_NOTIFY_URLS": "tgram://123456789:abcdefghijklmnopqrstuvwxyz123456789/12345"}
    notifier = from_settings(settings, redactor(), sent.append)
    notifier.about(replace(FAILED, reason="no operator is named <> & such"))
    notifier.finish()
    assert len(sent) == 1
    assert "named <> & such" in html.unescape(sent[0]).replace("\xa0", " ")
    assert "<" not in sent[0]


def test_what_is_told_can_be_chosen(webhook: tuple[str, list[dict[str, str]]]) -> None:
    url, received = webhook
    send(url, "success")
    assert [notice["type"] for notice in received] == ["success"]


def test_an_address_nobody_answers_at_is_trouble_and_no_failure() -> None:
    assert len(send("json://127.0.0.1:1/")) == 2


def test_what_a_library_says_of_a_failure_holds_no_secret() -> None:
    def fail(*_: object) -> bool:
        raise RuntimeError("refused: a-planted-token")

    said: list[str] = []
    notifier = Notifier([fail], frozenset({"failure"}), redactor(["a-planted-token"]), said.append)
    notifier.about(FAILED)
    notifier.finish()
    assert said == ["a notice could not be sent: refused: ***"]


def test_nonsense_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigurationError) as refused:
        send("nonsense://a-planted-secret")
    assert "planted" not in str(refused.value)
    with pytest.raises(ConfigurationError):
        send("json://127.0.0.1/", "sometimes")
