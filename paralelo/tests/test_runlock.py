"""Whether a run that Meltano holds for running is proven dead. # SPEC O1"""

from __future__ import annotations

import os
import socket
import sqlite3
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sync_rules.exits import ConfigurationError
from target_postgres.catalog import TableName
from target_postgres.lock import Locks
from target_postgres.names import fold

from paralelo import deadline, plugin_settings, progress, runlock, systemdb
from paralelo import states as states_
from paralelo.doctor import machine
from paralelo.verify.settings import target_settings

from .conftest import Toy, _connect


@pytest.fixture
def held(toy: Toy) -> Toy:
    assert systemdb.prepare(toy.root, toy.env)
    return toy


def beat(toy: Toy, seconds: float, state: str = "RUNNING", environment: str = "dev") -> str:
    """A run, by default one that counts as running, whose last heartbeat is so old."""
    run, at = uuid4(), datetime.now(timezone.utc) - timedelta(seconds=seconds)
    state_id = toy.table.state_id("full", environment)
    with sqlite3.connect(toy.root / ".meltano" / "meltano.db") as database:
        database.execute(
            "INSERT INTO runs (job_name, run_id, state, started_at, last_heartbeat_at, payload, payload_flags)"
            " VALUES (?, ?, ?, ?, ?, '{}', 0)",
            [state_id, run.hex, state, f"{at - timedelta(minutes=1):%F %T}.000000", f"{at:%F %T}.000000"],
        )
    return str(run)


def states(toy: Toy) -> list[str]:
    with sqlite3.connect(toy.root / ".meltano" / "meltano.db") as database:
        return [state for (state,) in database.execute("SELECT state FROM runs ORDER BY id")]


def test_a_run_on_another_machine_that_holds_no_lock_yet_is_not_proven_gone(held: Toy) -> None:
    mine = beat(held, 1)
    proof = runlock.prove_gone(held.table, "full", held.root, held.env)
    assert not proof.gone
    assert "seconds ago" in proof.why_not
    assert proof.ask_again > 0
    assert runlock.prove_gone(held.table, "full", held.root, held.env, [mine]).gone


def test_a_run_that_gave_no_sign_for_long_is_gone(held: Toy) -> None:
    beat(held, 60)
    beat(held, 0, "SUCCESS")
    beat(held, 0, environment="prod")
    assert runlock.prove_gone(held.table, "full", held.root, held.env).gone


def test_a_dead_run_does_not_block_its_table_until_the_time_that_a_wrong_clock_gave_it(held: Toy) -> None:
    dead, ages = beat(held, -3_600), dict[str, float]()
    assert runlock.prove_gone(held.table, "full", held.root, held.env, ages=ages).ask_again > 0
    assert not runlock.prove_gone(held.table, "full", held.root, held.env, ages=ages).gone
    ages = {run: age - runlock.QUIET_SECONDS for run, age in ages.items()}  # as long ago as it is asked again
    proof = runlock.prove_gone(held.table, "full", held.root, held.env, ages=ages)
    assert proof.gone
    assert proof.dead == {systemdb.plain(dead)}
    state_id = held.table.state_id("full", "dev")
    assert runlock.release(state_id, datetime.now(timezone.utc), held.root, held.env, proof.dead).wait(timeout=120) == 0
    assert states(held) == ["FAIL"]


def test_a_run_whose_clock_is_ahead_lives_as_long_as_its_heart_beats(held: Toy) -> None:
    beat(held, -60)
    ages = dict[str, float]()
    runlock.prove_gone(held.table, "full", held.root, held.env, ages=ages)
    with sqlite3.connect(held.root / ".meltano" / "meltano.db") as database:
        ahead = datetime.now(timezone.utc) + timedelta(seconds=60 + runlock.QUIET_SECONDS)
        database.execute("UPDATE runs SET last_heartbeat_at = ?", [f"{ahead:%F %T}.000000"])
    ages = {run: age - runlock.QUIET_SECONDS for run, age in ages.items()}
    assert not runlock.prove_gone(held.table, "full", held.root, held.env, ages=ages).gone


def test_whoever_waits_for_the_lock_does_not_hold_it_nor_does_another_database(
    held: Toy, db: psycopg.Connection[Any]
) -> None:
    def found() -> Any:
        with progress.connect(held.env) as connection:
            return runlock.holder(connection, "public", "toy")

    key = "hashtextextended('paralelo:public.toy', 0)"
    elsewhere = _connect(held.env, "postgres")
    elsewhere.execute(f"SELECT pg_advisory_lock({key})")
    assert found() is None
    db.execute(f"SELECT pg_advisory_lock({key}), set_config('application_name', 'the holder', false)")
    waiter = _connect(held.env, held.env["TARGET_POSTGRES_DATABASE"])
    waiting = deadline.begin(lambda: waiter.execute(f"SELECT pg_advisory_lock({key})"))
    while not db.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone()[0]:
        pass
    assert found().application == "the holder"
    db.execute(f"SELECT pg_advisory_unlock({key})")
    waiting.result(timeout=60)
    for connection in (waiter, elsewhere):
        connection.close()


def test_a_database_of_meltanos_that_cannot_be_asked_counts_as_a_living_run(held: Toy) -> None:
    away = {**held.env, "MELTANO_DATABASE_URI": "sqlite:////no/such/folder/x.db"}
    assert not runlock.prove_gone(held.table, "full", held.root, away).gone


def test_a_database_of_meltanos_that_says_nothing_holds_up_nobody(held: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A halted server takes connections: a schedule would have hung there for ever, and told nobody."""
    for module, name in ((systemdb, "PREPARE_SECONDS"), (states_, "SECONDS"), (plugin_settings, "SECONDS"),
                         (machine, "MELTANO_SECONDS")):  # fmt: skip
        monkeypatch.setattr(module, name, 3.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"postgresql+psycopg://u:p@127.0.0.1:{mute.getsockname()[1]}/m"
        monkeypatch.setenv("MELTANO_DATABASE_URI", address)
        away = {**held.env, "MELTANO_DATABASE_URI": address}
        assert not systemdb.prepare(held.root, away)
        with pytest.raises(ConfigurationError, match="MELTANO_DATABASE_URI"):
            states_.bookmarks(["dev:tap-to-target"], held.root, away)
        with pytest.raises(ConfigurationError, match="MELTANO_DATABASE_URI"):
            plugin_settings.settings_of(held.table.extractors["full"], held.root, {**os.environ, **away})
        [found] = machine.meltano_locks(held.root, [held.table], away)
    assert found.level == "warning"
    assert "MELTANO_DATABASE_URI" in found.fix


def test_a_lock_is_released_for_the_dead_alone(held: Toy) -> None:
    beat(held, 60)
    beat(held, 0)
    mine = beat(held, 0)
    state_id, now = held.table.state_id("full", "dev"), datetime.now(timezone.utc)
    earlier = now - timedelta(hours=1)
    assert runlock.release(state_id, earlier, held.root, held.env).wait(timeout=120) == 0
    assert states(held) == ["RUNNING"] * 3, "they began after the proof"
    assert runlock.release(state_id, now, held.root, held.env, [mine]).wait(timeout=120) == 0
    assert states(held) == ["FAIL", "RUNNING", "FAIL"]


def test_a_schema_whose_name_has_capitals_is_the_one_that_the_target_made_of_it(held: Toy) -> None:
    env = {**held.env, "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": "Vendas"}
    settings = target_settings(env)
    locks = Locks(settings)
    locks.take(TableName(fold(settings.default_target_schema), held.table.target), "full")
    try:
        assert "its lock in the target is held" in runlock.prove_gone(held.table, "full", held.root, env).why_not
    finally:
        locks.close()


def test_processes_are_named_in_a_sentence() -> None:
    assert runlock.named([41], "is alive", "are alive") == "process 41 is alive"
    assert runlock.named([41, 42], "is alive", "are alive") == "processes 41, 42 are alive"
