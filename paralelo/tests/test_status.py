"""What a run says of itself, and whose it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from paralelo import status


@pytest.mark.parametrize(
    ("other", "dead", "alive"),
    [
        ({}, [], ["r1"]),
        ({"host": "another-machine"}, [], []),
        ({"boot": "an-earlier-start"}, ["r1"], []),
        ({"pid_began": 0}, ["r1"], []),
    ],
)
def test_only_runs_of_this_machine_are_taken_for_dead_or_alive(
    tmp_path: Path, other: dict[str, object], dead: list[str], alive: list[str]
) -> None:
    status.write(tmp_path / "r1", "r1", ())
    path = tmp_path / "r1" / status.FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **other}))
    assert status.dead(tmp_path) == dead
    assert [run.run for run in status.alive(tmp_path)] == alive


def test_a_report_that_the_disk_has_no_room_for_is_none(tmp_path: Path) -> None:
    """Half of one would tell monitors that the run is over, and the closing table where to find it."""
    told = (
        "import sys, resource; from datetime import datetime; from pathlib import Path; from paralelo import report\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))\n"
        "report.write(report.Report('r1', datetime.now(), 0.0, (), 0, 'logs'), Path(sys.argv[1]))"
    )
    ended = subprocess.run([sys.executable, "-c", told, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "File too large" in ended.stderr
    assert list(tmp_path.iterdir()) == []
