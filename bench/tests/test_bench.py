"""The harness's own logic, and one small run of it."""

from __future__ import annotations

import json
import os
import sys

import pytest

from bench.__main__ import main
from bench.figures import Result, ratio, rotated, table
from bench.measure import Cost, run


def result(name: str, number: int, wall: float, failure: str = "") -> Result:
    return Result(name, number, 100, Cost(0, wall, 1.0, 1.0, 1.0, 2**20), failure)


def test_each_contender_is_first_once() -> None:
    assert [rotated(["a", "b", "c"], n) for n in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]


def test_ratios_divide_within_a_round_only() -> None:
    # A slow second round slows both: the ratio stays, where one of overall means would not.
    results = [result("a", 0, 1), result("b", 0, 2), result("a", 1, 10), result("b", 1, 20), result("b", 2, 1)]
    assert ratio(results, "a", "b") == 2


def test_a_failed_run_has_no_part_in_a_ratio() -> None:
    assert ratio([result("a", 0, 1, "wrong rows"), result("b", 0, 2)], "a", "b") is None


def test_the_table_says_why_a_contender_could_not_run() -> None:
    text = table([result("a", 0, 1), Result("b", 0, 100, None, "not installed: no wheel")], "a")
    assert "not installed: no wheel" in text
    assert max(map(len, text.splitlines())) < 100


def test_children_are_in_the_cpu(tmp_path) -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    code = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', {burn!r}]))"
    cost = run([sys.executable, "-c", code], os.environ, tmp_path / "log", os.getpid(), os.getpid())
    assert cost.code == 0
    assert cost.client_cpu >= 0.3


@pytest.mark.timeout(180)
def test_the_reference_run_is_checked_and_written(tmp_path) -> None:
    assert main(["--rows", "2000", "--rounds", "1", "--only", "reference", "--folder", str(tmp_path)]) == 0
    (written,) = json.loads((tmp_path / "results.json").read_text())["results"]
    assert written["rows"] == 2000
    assert written["failure"] == ""
