"""The machine's clock is set, forward or back: what belongs to a living run still does, and nothing else."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import psutil
import pytest

from paralelo import jobs, leftovers, status
from paralelo.runlog import forget_old


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
