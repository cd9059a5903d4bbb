"""What breaks in a run, and what its other tables, report, history and notices come to. # SPEC O1"""

from __future__ import annotations

import io
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sync_rules.exits import Exit

from paralelo import history, jobs, progress
from paralelo.policy import Policy
from paralelo.run import Run
from paralelo.supervise import Event
from paralelo.track import Plan

from .conftest import Toy

QUICK = Policy(delay=0.1, jitter=0, stall=120.0, start_stall=300.0, grace=3.0)


def short(job: str, log: Path, *_: object, **__: object) -> jobs.RunningJob:
    return jobs.RunningJob(job, subprocess.Popen(["sleep", "0.3"], start_new_session=True), log)


def plan(toy: Toy, count: int) -> Plan:
    tables = tuple(replace(toy.table, name=f"t{number}", target=f"t{number}") for number in range(count))
    return Plan("full", tables, count, QUICK, toy.env, toy.root)


def test_a_table_that_cannot_be_started_ends_no_other(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(job: str, log: Path, *rest: object, **more: Any) -> jobs.RunningJob:
        if "t1-" in log.name:
            raise OSError(24, "Too many open files")
        return short(job, log)

    monkeypatch.setattr(jobs, "start", start)
    found = Run(plan(toy, 3), Console(file=io.StringIO())).execute()
    assert [part.outcome for part in found.tables] == ["finished", "failed", "finished"]
    assert "Too many open files" in found.tables[1].reason
    assert len(found.tables[1].attempts) == 4
    assert json.loads((Path(found.logs) / "report.json").read_text())["exit_code"] == 1


def test_a_run_that_breaks_is_reported_kept_and_told(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("what nobody thought of")

    monkeypatch.setattr(jobs, "start", short)
    run = Run(plan(toy, 1), Console(file=io.StringIO()))
    monkeypatch.setattr(run.observer, "judge", broken)
    told: list[Event] = []
    monkeypatch.setattr(run.notifier, "about", told.append)
    found = run.execute()
    assert found.exit_code == Exit.UNEXPECTED
    assert "what nobody thought of" in found.tables[0].reason
    assert (Path(found.logs) / "report.json").exists()
    assert "Traceback" in (Path(found.logs) / "run.jsonl").read_text()
    assert told[-1].kind == "failed"
    with progress.connect(toy.env) as connection:
        [kept] = history.listed(connection)
    assert kept["outcome"] == "failed"
