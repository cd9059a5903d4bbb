"""Waiting for what another session does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any

import psycopg

Db = psycopg.Connection[Any]


def wait(db: Db, sql: str, wanted: int, while_: Callable[[], bool] = lambda: True) -> None:
    """Until the query answers that number. Raises AssertionError after two minutes, or where `while_` is no more."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and while_():
        db.execute("SELECT pg_stat_clear_snapshot()")
        if db.execute(sql.encode()).fetchone() == (wanted,):
            return
        db.execute("SELECT pg_sleep(0.05)")
    raise AssertionError(f"{sql} never answered {wanted}")


def run_while_held(db: Db, held: str, command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command that has to wait for what a statement holds, and let go once it does."""
    with db.transaction():
        db.execute(held.encode())
        running = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))"
            wait(db, waiting, 1, lambda: running.poll() is None)
        except BaseException:
            running.kill()
            running.communicate()
            raise
    told, errors = running.communicate(timeout=170)
    return subprocess.CompletedProcess(command, running.returncode, told, errors)
