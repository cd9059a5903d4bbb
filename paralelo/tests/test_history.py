"""What is kept of earlier runs, and what is told by it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from paralelo import history, progress
from paralelo.history import DIED, KEEP_DAYS, Record
from paralelo.score import Past

KEPT = Record("r", "toy", "public", "toy", "full", "j", "dev", "h", outcome="finished", exit=0, seconds=10.0)


def keep(env: dict[str, str], run: str, **more: Any) -> None:
    for statement in ("begin", "end"):
        assert history.write(statement, Record(**{**KEPT.__dict__, "run": run, **more}), env) is None


def test_only_what_is_older_than_a_year_is_forgotten(env: dict[str, str], db: psycopg.Connection[Any]) -> None:
    for run, days in (("old", KEEP_DAYS + 1), ("kept", KEEP_DAYS - 1)):
        keep(env, run)
        db.execute("UPDATE paralelo.run SET began_at = now() - make_interval(days => %s) WHERE run = %s", [days, run])
    keep(env, "new")
    assert {run for (run,) in db.execute("SELECT run FROM paralelo.run")} == {"kept", "new"}


def test_a_dead_run_is_buried_with_what_it_left_running_alone(env: dict[str, str], db: psycopg.Connection[Any]) -> None:
    keep(env, "dead")
    left = Record(**{**KEPT.__dict__, "run": "dead", "mode": "incremental"})
    assert history.write("begin", left, env) is None
    history.bury(["dead"], env)
    found = db.execute("SELECT mode, outcome, exit, reason FROM paralelo.run ORDER BY mode").fetchall()
    assert found == [("full", "finished", 0, ""), ("incremental", "failed", 1, DIED)]


@pytest.mark.usefixtures("db")
def test_speed_is_told_by_whole_runs_without_a_restart(env: dict[str, str]) -> None:
    keep(env, "slow", rows_read=5_000)
    keep(env, "failed", rows_read=90_000, outcome="failed", exit=9)
    keep(env, "restarted", rows_read=80_000, attempts=2)
    keep(env, "small", rows_read=10)
    keep(env, "other", rows_read=70_000, mode="incremental")
    keep(env, "this", rows_read=60_000)
    with progress.connect(env) as connection:
        assert history.rates(connection, "toy", "full", except_run="this") == [Past(5_000, 500.0)]
