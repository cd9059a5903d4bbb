"""Exit codes, and the errors that end a process with one of them.

The codes tell an operator, and the recovery script, whether a restart can help: see docs/protocol.md.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from enum import IntEnum
from typing import NoReturn


class Exit(IntEnum):
    """How a tap, a target or a run ended."""

    FINISHED = 0
    UNEXPECTED = 1
    CONFIGURATION = 2
    SOURCE_UNREACHABLE = 3
    TARGET_UNREACHABLE = 4
    ALREADY_RUNNING = 5
    LIMIT_REACHED = 6
    CHECK_REFUSED = 7
    DATA_REFUSED = 8
    STALLED = 9
    LEDGER_GAP = 10

    @property
    def restart_helps(self) -> bool:
        """Whether running the same thing again, unchanged, may end better."""
        return self in _RESTARTABLE


_RESTARTABLE = frozenset(
    {
        Exit.UNEXPECTED,
        Exit.SOURCE_UNREACHABLE,
        Exit.TARGET_UNREACHABLE,
        Exit.ALREADY_RUNNING,
        Exit.LIMIT_REACHED,
        Exit.STALLED,
        Exit.LEDGER_GAP,
    }
)


class SyncError(Exception):
    """An end that can be told in one line: what happened, to which table, what to do next.

    The message never holds a secret or a row's values.
    """

    exit = Exit.UNEXPECTED


class ConfigurationError(SyncError):
    """A setting, a table, a column or a right is wrong: a restart alone cannot help."""

    exit = Exit.CONFIGURATION


class SourceUnreachable(SyncError):
    """The source did not answer, or stopped answering."""

    exit = Exit.SOURCE_UNREACHABLE


class TargetUnreachable(SyncError):
    """The target did not answer, or stopped answering."""

    exit = Exit.TARGET_UNREACHABLE


class AlreadyRunning(SyncError):
    """Another sync of the same table holds its lock."""

    exit = Exit.ALREADY_RUNNING


class TableInUse(AlreadyRunning):
    """Other sessions kept the live table in use for longer than was waited. What is staged is kept: a restart helps."""

    exit = Exit.STALLED


class LimitReached(SyncError):
    """The whole-sync limit was reached at a page; state is kept and the next run goes on from there."""

    exit = Exit.LIMIT_REACHED


class CheckRefused(SyncError):
    """A check before activation refused: going on would lose rows."""

    exit = Exit.CHECK_REFUSED


class DataRefused(SyncError):
    """More rows than `max_rejects` could not be stored."""

    exit = Exit.DATA_REFUSED


class Stalled(SyncError):
    """Nothing moved for too long."""

    exit = Exit.STALLED


def end(code: int) -> NoReturn:
    """End the process at once, once everything is closed and told.

    The interpreter's own way out would wait for a thread that is stuck in a driver, may crash in one, could be met by a
    signal that changes the code, and takes a fifth as long as the start did.
    """
    logging.shutdown()  # its handlers may hold lines back
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(code)
