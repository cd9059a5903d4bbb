"""The machine's clock is set, forward or back: what belongs to a living run still does, and nothing else."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from rich.console import Console

from paralelo import jobs, leftovers, status, watch
from paralelo.clock import SystemClock
from paralelo.run import Run
from paralelo.runlog import forget_old
from paralelo.track import Plan
from paralelo.watch import LedgerView

from .conftest import Toy


def set_clock(seconds: int, proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To psutil: the kernel keeps when the machine started by the clock as it is set."""
    proc.mkdir()
    stat = re.sub(r"btime (\d+)", lambda found: f"btime {int(found[1]) + seconds}", Path("/proc/stat").read_text())
    (proc / "stat").write_text(stat)
    (proc / str(os.getpid())).symlink_to(f"/proc/{os.getpid()}")
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(proc))


@pytest.mark.parametrize("seconds", [-7_200, 60])
def test_a_living_run_stays_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    status.write(tmp_path / "logs" / "r1", "r1", ())
    mine = f"{jobs.owner()}-aaaa"
    set_clock(seconds, tmp_path / "proc", monkeypatch)
    assert [run.run for run in status.alive(tmp_path / "logs")] == ["r1"]
    assert jobs.lives(mine.rpartition("-")[0])


def test_settings_that_a_dead_run_left_are_removed_though_they_seem_to_be_of_the_future(tmp_path: Path) -> None:
    left = tmp_path / ".meltano" / "run" / "tap-mssql" / "tap.0.config.json"  # SPEC O4
    left.parent.mkdir(parents=True)
    left.touch()
    os.utime(left, (time.time() + 3_600, time.time() + 3_600))
    assert leftovers.remove(tmp_path) == [left]


def test_logs_of_the_future_do_not_take_the_place_of_todays(tmp_path: Path) -> None:
    for name in ("20990101-000000-aaaa", "20990102-000000-aaaa", "20250101-000000-aaaa", "20250102-000000-aaaa"):
        (tmp_path / name).mkdir()
    forget_old(tmp_path, keep=2)
    assert sorted(path.name[:8] for path in tmp_path.iterdir()) == ["20250101", "20250102"]


@dataclass(frozen=True)
class SetClock(SystemClock):
    """This machine's, while the target's and the seconds that pass stay what they are."""

    by: list[timedelta]

    def now(self) -> datetime:
        return super().now() + self.by[-1]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    set_ = SetClock([timedelta(0)])

    class Moment(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return set_.now().astimezone(tz)

    monkeypatch.setattr(watch, "datetime", Moment)
    return set_


@pytest.mark.parametrize("hours", [1, -1])
def test_what_begins_after_the_clock_was_set_is_seen(
    env: dict[str, str], db: psycopg.Connection[Any], toy: Toy, clock: SetClock, hours: int
) -> None:
    view = LedgerView(env)
    view.refresh(clock.now())
    write_sync(db)
    clock.by.append(timedelta(hours=hours))
    began = clock.now() - timedelta(seconds=30)
    view.refresh(began)
    found = view.entry(toy.table, "incremental", began)
    assert found is not None
    assert found.committed == 7
    assert view.line(toy.table, "incremental", began).seconds < 3_000
    view.close()


@pytest.mark.parametrize("hours", [1, -1])
def test_a_sync_under_way_when_the_clock_is_set_goes_on_to_be_seen(
    db: psycopg.Connection[Any], toy: Toy, clock: SetClock, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(Plan("full", (toy.table,), 1, env=toy.env, root=toy.root), Console(), clock)
    [track] = run.tracks
    monkeypatch.setattr(track.supervisor, "begin", lambda: None)
    track.begin()
    write_sync(db)
    clock.by.append(timedelta(hours=hours))
    assert track.began is not None
    run.view.refresh(track.began)
    found = run.view.entry(toy.table, "incremental", track.began)
    assert found is not None
    assert run.view.line(toy.table, "incremental", track.began).seconds < 3_000
    run.view.close()


def write_sync(db: psycopg.Connection[Any]) -> None:
    db.execute(
        "INSERT INTO paralelo.sync (table_schema, table_name, stream, mode, status, rows_read, created_at, updated_at)"
        " VALUES ('public', 'toy', 'toy', 'incremental', 'running', 7, clock_timestamp(), clock_timestamp())"
    )
