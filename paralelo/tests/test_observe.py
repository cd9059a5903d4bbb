"""What an observer looks up: what never was, too, and where a run really writes."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest

from paralelo import observe
from paralelo.alerts import Limits, alerts
from paralelo.attach import Running, look
from paralelo.observe import Observer
from paralelo.status import TableStatus
from paralelo.usage import Meter
from paralelo.watch import LedgerView

from .conftest import Toy


def observer(toy: Toy, **more: str) -> Observer:
    env = {**toy.env, **more}
    return Observer([(toy.table, "full")], LedgerView(env), toy.root / "logs", Limits(), env)


@pytest.mark.parametrize(("text", "limited"), [("1000\n", True), ("max\n", False)])
def test_the_memory_there_is_is_that_of_the_control_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, limited: bool
) -> None:
    (tmp_path / "memory.max").write_text(text)
    monkeypatch.setattr(observe, "_CGROUP_LIMITS", (tmp_path / "none", tmp_path / "memory.max"))
    assert (observe.memory_limit() == 1000) is limited


def test_a_table_that_never_succeeded_is_told(toy: Toy) -> None:
    assert observer(toy).look_up().last_success == {"toy": datetime.fromtimestamp(0, timezone.utc)}
    assert observer(toy, TAP_TOY_PASSWORD="").look_up().last_success == {}


def test_the_disks_that_are_watched_are_those_that_batch_files_are_on(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def usage(path: Path) -> tuple[int, int, int]:
        asked.append(os.fspath(path))
        raise OSError

    monkeypatch.setattr(observe.shutil, "disk_usage", usage)  # type: ignore[attr-defined]
    monkeypatch.setattr(observe.tempfile, "tempdir", str(toy.root / "temporary"))  # type: ignore[attr-defined]
    (toy.root / "temporary").mkdir()
    (toy.root / "batches").mkdir()
    observer(toy, TAP_MSSQL_BATCH_ROOT=str(toy.root / "batches" / "not" / "yet")).disks()
    assert {str(toy.root / "batches"), str(toy.root / "temporary")} <= set(asked)
    assert "/tmp" not in asked


@pytest.mark.parametrize(("seconds", "kinds"), [(10, []), (400, ["stalled"])])
def test_a_pause_before_an_attempt_is_no_stall_of_it(
    toy: Toy, db: psycopg.Connection[Any], seconds: int, kinds: list[str]
) -> None:
    now = datetime.now(timezone.utc)
    db.execute(
        "INSERT INTO paralelo.sync (table_schema, table_name, stream, mode, status, version, started_at, updated_at)"
        " VALUES ('public', 'toy', 'toy', 'full', 'staging', 1, now() - interval '1 hour', now())"
    )
    told = TableStatus("toy", "full", "starting", 2, now - timedelta(hours=1), os.getpgid(0))
    running = Running(
        toy.table, "full", now - timedelta(hours=1), (os.getpgid(0),), told, now - timedelta(seconds=seconds)
    )
    view = LedgerView(toy.env)
    try:
        snapshot = look(view, Meter(), [running], [])
    finally:
        view.close()
    assert [found.kind for found in alerts(snapshot, Limits(lag_seconds=1e9), {})] == kinds
