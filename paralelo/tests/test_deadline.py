"""A target that takes connections and says nothing holds nobody up. # SPEC O1"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import psycopg
import pytest

from paralelo import deadline, history, progress, runlock
from paralelo.watch import LedgerView

from .conftest import Toy


@contextmanager
def halted(pid: int) -> Iterator[None]:
    """A server's process that answers no more; its system still takes what is sent to it."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def returns(what: Callable[[], object]) -> bool:
    """Whether it comes back at all; what fails in it fails here."""
    future = deadline.begin(what)
    wait([future], timeout=30)
    if future.done():
        future.result()
    return future.done()


def prove_gone(toy: Toy) -> None:
    assert "did not answer within" in runlock.prove_gone(toy.table, "full", toy.root, toy.env).why_not


def running(toy: Toy) -> None:
    assert runlock.running(toy.table, toy.root, toy.root / "logs", toy.env) == ""


def write(toy: Toy) -> None:
    record = history.Record("r", "toy", "public", "toy", "full", "j", "dev", "h")
    assert "did not answer within" in (history.write("begin", record, toy.env) or "")


def bury(toy: Toy) -> None:
    history.bury(["r"], toy.env)


def test_a_halted_backend_is_trouble_and_the_next_look_is_over_another(
    env: dict[str, str], db: psycopg.Connection[Any]
) -> None:
    view, now = LedgerView(env), datetime.now(timezone.utc)
    view.refresh(now)
    assert view.trouble == ""
    assert view._connection is not None
    view.patience = 0.5
    with halted(view._connection.info.backend_pid):
        assert returns(lambda: view.refresh(now))
        assert "did not answer within" in view.trouble
        view.patience = 10.0
        while view.trouble:
            view.refresh(now)
    view.close()


@pytest.mark.parametrize("ask", [prove_gone, running, write, bury])
def test_what_asks_the_target_gives_up(toy: Toy, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Toy], object]) -> None:
    halted: list[int] = []

    def connect(*values: Any, **more: Any) -> progress.Connection:
        made = connecting(*values, **more)
        halted.append(made.info.backend_pid)
        os.kill(made.info.backend_pid, signal.SIGSTOP)
        return made

    connecting = progress.connect
    monkeypatch.setattr(progress, "connect", connect)
    monkeypatch.setattr(deadline, "SECONDS", 0.5)
    try:
        assert returns(lambda: ask(toy))
        assert halted
    finally:
        for pid in halted:
            os.kill(pid, signal.SIGCONT)
