"""A signal is heard though the main thread sleeps on a lock and was not woken by it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest
from sync_rules.signals import woken_by_signals

# Taken by another thread a signal is noted just as where it comes when the main thread is about to sleep.
_MISSED = """
import os, signal, sys, threading, time
from sync_rules.signals import woken_by_signals

def end(signum, frame):
    os._exit(3)

def miss():
    time.sleep(0.2)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    time.sleep(30)
    os._exit(4)

signal.signal(signal.SIGTERM, end)
with woken_by_signals():
    threading.Thread(target=miss, daemon=True).start()
    threading.Event().wait()
"""


def test_a_signal_that_did_not_wake_the_main_thread_is_heard() -> None:
    assert subprocess.run([sys.executable, "-c", _MISSED], timeout=60, check=False).returncode == 3


def test_nothing_of_it_stays_behind() -> None:
    before = signal.getsignal(signal.SIGURG)
    with pytest.raises(ValueError, match="as it came"), woken_by_signals():
        raise ValueError("as it came")
    assert signal.getsignal(signal.SIGURG) == before
    assert signal.set_wakeup_fd(-1) == -1
    assert "signals" not in [thread.name for thread in threading.enumerate()]
