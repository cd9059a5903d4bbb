"""Whatever is killed, whenever: the next run ends with every row once. Real kills, at points that can be observed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import server as embedded
from feed import Feed, load, start
from target_postgres.catalog import TableName
from target_postgres.connection import connect
from target_postgres.lock import hold_work
from target_postgres.settings import Settings
from things import ids, last_sync, thing, things, until

Db = psycopg.Connection[Any]
ROWS = things(*range(1, 31))


@pytest.fixture
def target(config: Any, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts targets, and ends those that are left."""
    processes: list[subprocess.Popen[str]] = []

    def begin(lines: list[str], **more: Any) -> subprocess.Popen[str]:
        process = start(config, tmp_path, **more)
        processes.append(process)
        assert process.stdin is not None
        process.stdin.write("".join(f"{line}\n" for line in lines))
        process.stdin.flush()
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def kill(process: subprocess.Popen[str]) -> str:
    """Kill -9. Returns what it had written to its standard output."""
    process.kill()
    return process.communicate()[0]


def committed(db: Db, batch: int) -> bool:
    """Whether the ledger has this batch."""
    if db.execute("SELECT to_regclass('paralelo.batch')").fetchone() == (None,):
        return False
    return db.execute("SELECT count(*) FROM paralelo.batch WHERE batch = %s", [batch]).fetchone() == (1,)


def backend(db: Db, doing: str) -> int | None:
    """The target's backend that is waiting in a statement of this kind."""
    row = db.execute(
        "SELECT pid FROM pg_stat_activity"
        " WHERE query LIKE %s AND wait_event_type = 'Lock' AND datname = current_database()",
        [f"%{doing}%"],
    ).fetchone()
    return row[0] if row else None


def test_killed_between_commit_and_state(config: Any, db: Db, feed: Feed, target: Any) -> None:
    lines = feed.full(ROWS, page=10)
    process = target(lines[:4])
    until(lambda: committed(db, 2))
    out = kill(process)
    assert '"batches": 2' not in out
    load(config, feed.full(ROWS, page=10))
    assert ids(db) == list(range(1, 31))
    assert last_sync(db, "rows_read", "rows_written") == (30, 30)


def test_killed_during_copy(config: Any, server: embedded.Server, db: Db, feed: Feed, target: Any) -> None:
    lines = feed.full(ROWS, page=10)
    process = target(lines[:3])
    until(lambda: committed(db, 1))
    with psycopg.connect(server.dsn(db.info.dbname)) as other:
        other.execute('LOCK TABLE "_paralelo_things_1" IN SHARE MODE')
        assert process.stdin is not None
        process.stdin.write(f"{lines[3]}\n")
        process.stdin.flush()
        until(lambda: backend(db, "COPY"))
        kill(process)
    load(config, [lines[0], *lines[3:]])
    assert ids(db) == list(range(1, 31))


@pytest.mark.parametrize("activation", ["swap", "merge"])
def test_killed_while_it_activates(
    config: Any, server: embedded.Server, db: Db, feed: Feed, target: Any, activation: str
) -> None:
    load(config, feed.full(ROWS))
    feed.version = 2
    lines = feed.full([*things(*range(1, 28), status=2), thing(40, status=2)], page=10)
    with psycopg.connect(server.dsn(db.info.dbname)) as other:
        other.execute("LOCK TABLE things IN ROW EXCLUSIVE MODE")
        process = target(lines, activation=activation, lock_timeout_seconds=60)
        until(lambda: backend(db, "LOCK TABLE"))
        out = kill(process)
    assert '"done": true' not in out
    assert ids(db) == list(range(1, 31))
    until(lambda: backend(db, "LOCK TABLE") is None)
    states = load(config, [lines[0], *lines[-2:]], activation=activation)
    assert states[-1]["bookmarks"][feed.stream]["done"] is True
    assert ids(db, "status = 2") == [*range(1, 28), 40]
    assert last_sync(db, "rows_inserted", "rows_updated", "rows_unchanged", "rows_stale") == (1, 27, 0, 3)


def test_what_a_dead_runs_backend_still_does_is_waited_for(config: Any, db: Db, feed: Feed, target: Any) -> None:
    with connect(Settings.of(config), "dead") as dead:
        hold_work(dead, TableName("public", "things"))
        process = target(feed.incremental(things(1)))
        until(lambda: backend(db, "pg_advisory_lock"))
    process.communicate()
    assert (process.returncode, ids(db)) == (0, [1])


@pytest.mark.parametrize("what", ["load", "full"])
def test_its_backend_terminated(config: Any, db: Db, feed: Feed, target: Any, what: str) -> None:
    """The working connection, or the one that holds the lock."""
    lines = feed.full(ROWS, page=10)
    process = target(lines[:3])
    until(lambda: committed(db, 1))
    name = f"paralelo {what} public.things"
    db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [name])
    out, err = process.communicate("".join(f"{line}\n" for line in lines[3:]))
    assert process.returncode == 4
    assert "Traceback" not in err
    assert '"done": true' not in out
    load(config, feed.full(ROWS, page=10))
    assert ids(db) == list(range(1, 31))


def test_server_crash(config: Any, server: embedded.Server, database: str, feed: Feed, target: Any) -> None:
    lines = feed.full(ROWS, page=10)
    process = target(lines[:3])
    with psycopg.connect(server.dsn(database), autocommit=True) as db:
        until(lambda: committed(db, 1))
    server.crash()
    _, err = process.communicate("".join(f"{line}\n" for line in lines[3:]))
    assert process.returncode == 4
    assert "Traceback" not in err
    server.start()
    load(config, feed.full(ROWS, page=10))
    with psycopg.connect(server.dsn(database), autocommit=True) as db:
        assert ids(db) == list(range(1, 31))


@pytest.mark.parametrize("times", [1, 2, 5, 20, 100])
def test_asked_to_end(config: Any, db: Db, feed: Feed, target: Any, times: int) -> None:
    """Once, or again and again: by a terminal and by Meltano, say."""
    lines = feed.full(ROWS, page=10)
    process = target(lines[:3])
    until(lambda: committed(db, 1))
    for _ in range(times):
        process.terminate()
        time.sleep(0.001)
    _, err = process.communicate()
    assert process.returncode == 143
    assert "Traceback" not in err
    assert err.count("ended by SIGTERM") == 1
    load(config, feed.full(ROWS, page=10))
    assert ids(db) == list(range(1, 31))


def test_killed_in_the_middle_of_a_page_of_records(config: Any, db: Db, feed: Feed, target: Any) -> None:
    lines = feed.full(ROWS, page=10, records=True)
    process = target(lines[:18])
    until(lambda: committed(db, 1))
    kill(process)
    load(config, [lines[0], *lines[12:]])
    assert ids(db) == list(range(1, 31))


def test_an_unlogged_staging_table_lost_in_a_crash_is_noticed(
    config: Any, server: embedded.Server, database: str, feed: Feed
) -> None:
    from target_postgres.errors import LedgerGap

    lines = feed.full(ROWS, page=10)
    load(config, lines[:3], staging_unlogged=True)
    server.crash()
    server.start()
    with pytest.raises(LedgerGap):
        load(config, [lines[0], *lines[3:]], staging_unlogged=True)
    feed.version = 2
    load(config, feed.full(ROWS, page=10), staging_unlogged=True)
    with psycopg.connect(server.dsn(database)) as db:
        assert ids(db) == list(range(1, 31))
        assert db.execute("SELECT relpersistence FROM pg_class WHERE relname = 'things'").fetchone() == ("p",)
