"""Signals that are heard while the main thread waits.

Python runs a signal's handler in the main thread, between two steps of the program. A signal that comes after the last
step and before the thread sleeps on a lock is noted and wakes nobody: its handler runs when the lock is given, which
may be never. So does that of one which the system hands to another thread.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_WAKE = signal.SIGURG
"""Interrupts a sleep and means nothing: nothing here has out-of-band data, and whoever has no handler ignores it."""
_AFTER_MS = (50, 200, 1_000)
"""When the main thread is woken after a signal: it may be about to sleep once more."""


@contextmanager
def woken_by_signals() -> Iterator[None]:
    """While the main thread runs the block, a signal that has a handler wakes it. In other threads nothing is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.signal(_WAKE, _nothing)
    noted = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    waker = threading.Thread(target=_wake, args=(reader, threading.get_ident()), name="signals", daemon=True)
    waker.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(noted)
        os.close(writer)
        waker.join()
        os.close(reader)
        signal.signal(_WAKE, before)


def _nothing(_signum: int, _frame: FrameType | None) -> None:
    pass


def _wake(reader: int, main_thread: int) -> None:
    """Wake the main thread after each signal that the pipe tells of, until the pipe is closed."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    left: list[int] = []
    while True:
        if poll.poll(left[0] if left else None):
            came = os.read(reader, 512)
            if not came:
                return
            if any(signum != _WAKE for signum in came):
                left = list(_AFTER_MS)
        else:
            left.pop(0)
            signal.pthread_kill(main_thread, _WAKE)
