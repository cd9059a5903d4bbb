"""What a run says of itself, and whose it is."""

from __future__ import annotations

import json
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
