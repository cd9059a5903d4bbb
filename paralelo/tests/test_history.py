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


INDEXES = ("run_by_name", "run_by_table", "sync_by_mode")


def indexes(db: psycopg.Connection[Any]) -> set[str]:
    found = db.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'paralelo'").fetchall()
    return {name for (name,) in found} & set(INDEXES)


def sync(db: psycopg.Connection[Any], hours_ago: float, table: str = "toy", mode: str = "full") -> None:
    """One that ended well, a minute after it began."""
    db.execute(
        "INSERT INTO paralelo.sync (table_schema, table_name, stream, mode, status, rows_read, created_at, updated_at,"
        " started_at, ended_at) SELECT 'public', %(table)s, %(table)s, %(mode)s, 'finished', 1, at, at + '1 minute',"
        " at, at + '1 minute' FROM (SELECT now() - make_interval(secs => %(seconds)s)) AS moment (at)",
        {"table": table, "mode": mode, "seconds": hours_ago * 3_600},
    )


def test_what_is_asked_every_second_has_its_indexes_also_in_an_older_versions_schema(
    env: dict[str, str], db: psycopg.Connection[Any]
) -> None:
    keep(env, "one")
    assert indexes(db) == set(INDEXES)
    for name in INDEXES:
        db.execute(f"DROP INDEX paralelo.{name}")
    keep(env, "two")
    assert indexes(db) == set(INDEXES)


def test_no_sync_waits_for_an_index_nor_a_run_for_a_sync(env: dict[str, str], db: psycopg.Connection[Any]) -> None:
    keep(env, "one")
    db.execute("DROP INDEX paralelo.sync_by_mode")
    with db.transaction():
        sync(db, 1)
        keep(env, "two")
    assert indexes(db) == set(INDEXES) - {"sync_by_mode"}
    keep(env, "three")
    assert indexes(db) == set(INDEXES)


def test_a_role_that_does_not_own_the_history_writes_to_it_without_its_indexes(
    env: dict[str, str], db: psycopg.Connection[Any]
) -> None:
    keep(env, "one")
    db.execute("DROP INDEX paralelo.run_by_name")
    db.execute("DROP ROLE IF EXISTS guest")
    db.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    try:
        db.execute("GRANT USAGE ON SCHEMA paralelo TO guest; GRANT ALL ON ALL TABLES IN SCHEMA paralelo TO guest")
        keep({**env, "TARGET_POSTGRES_USER": "guest", "TARGET_POSTGRES_PASSWORD": "guest"}, "two")
        assert "run_by_name" not in indexes(db)
    finally:
        db.execute("DROP OWNED BY guest; DROP ROLE guest")


def test_syncs_that_no_run_saw_to_are_listed_between_the_runs(env: dict[str, str], db: psycopg.Connection[Any]) -> None:
    for run, hours in (("old", 30), ("new", 10)):
        keep(env, run)
        db.execute(
            "UPDATE paralelo.run SET began_at = now() - make_interval(hours => %(hours)s), ended_at = now() -"
            " make_interval(hours => %(hours)s - 1) WHERE run = %(run)s",
            {"run": run, "hours": hours},
        )
    for hours in (40, 29.5, 20, 9.5, 5):  # the second and the last but one are the runs' own
        sync(db, hours)
    with progress.connect(env) as connection:
        listed = history.listed(connection, "toy", "full", 10)
        newest = history.listed(connection, "toy", "full", 2)
        everything = history.listed(connection)
    assert [entry["run"] for entry in listed] == [None, "new", None, "old", None]
    assert newest == listed[:2]
    assert everything == listed


def test_of_each_table_and_mode_the_newest_sync_is_looked_at(env: dict[str, str], db: psycopg.Connection[Any]) -> None:
    for table in ("a", "b", "Ç"):
        for hours in (3, 2, 1):
            sync(db, hours, table)
    sync(db, 4, "b", "incremental")
    db.execute("UPDATE paralelo.sync SET status = 'abandoned' WHERE id IN (SELECT max(id) FROM paralelo.sync)")
    with progress.connect(env) as connection:
        found = progress.newest(connection)
        covered = progress.covered(connection)
    ids = db.execute("SELECT max(id) FROM paralelo.sync GROUP BY table_name, mode").fetchall()
    assert {entry.sync_id for entry in found} == {number for (number,) in ids}
    assert {table for _, table in covered} == {"a", "b", "Ç"}
    [(youngest,)] = db.execute("SELECT max(started_at) FROM paralelo.sync WHERE table_name = 'b'").fetchall()
    assert covered["public", "b"].covered_until == youngest
