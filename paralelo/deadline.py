"""Work that is waited for so long and no longer: a server that is halted, or behind a network that swallows everything,
must not hold up whoever supervises."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")
SECONDS = 10.0


def begin(work: Callable[[], T]) -> Future[T]:
    """Do it in a thread of its own, which does not keep the process from ending."""
    future: Future[T] = Future()

    def do() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=do, name="with a deadline", daemon=True).start()
    return future


def end(future: Future[T], seconds: float, late: Callable[[], Exception]) -> T:
    """What came of it, its error included. If it is still under way by then, raises what `late` returns."""
    wait([future], timeout=seconds)
    if not future.done():
        raise late()
    return future.result()
