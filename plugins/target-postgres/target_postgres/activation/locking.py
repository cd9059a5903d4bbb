"""Exclusive locks on a live table, asked for briefly and again: who waits for one makes all others queue."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from psycopg import errors as pg
from psycopg import sql
from sync_rules.exits import TableInUse

from target_postgres.connection import Connection
from target_postgres.settings import Settings

logger = logging.getLogger("target-postgres")

T = TypeVar("T")
LONGEST_PAUSE_SECONDS = 30.0


def wait_briefly(connection: Connection, settings: Settings) -> None:
    """For the rest of the transaction no lock is waited for longer than `lock_timeout_seconds`."""
    milliseconds = max(1, round(settings.lock_timeout_seconds * 1000))
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(milliseconds))


def with_short_locks(connection: Connection, settings: Settings, table: str, work: Callable[[], T]) -> T:
    """Run `work` in a transaction in which no lock is waited for longer than `lock_timeout_seconds`.

    When that time is up everything is rolled back, those in the queue behind go on, and it is tried again after a
    pause. Raises TableInUse when `activation_patience_seconds` are used up. A deadlock is tried again, too.
    """
    started, pause = time.monotonic(), 0.5
    while True:
        try:
            with connection.transaction():
                wait_briefly(connection, settings)
                return work()
        except (pg.LockNotAvailable, pg.DeadlockDetected) as error:
            if time.monotonic() - started + pause > settings.activation_patience_seconds:
                raise TableInUse(
                    f"{table}: other sessions kept it locked for {settings.activation_patience_seconds:g} s"
                    " (activation_patience_seconds); what is staged is kept: run again when they have ended"
                ) from error
            logger.info("%s: another session holds a lock on it; next try in %.1f s", table, pause)
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
