"""SPEC O2: each kind of bad input ends with one clear line, its own exit code, and nothing half done."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline import Ended, Pipeline
from tests.servers import Servers


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(
    servers: Servers, folder: Path, tap: dict[str, Any] | None = None, target: dict[str, Any] | None = None
) -> Ended:
    tables = {"sync_mode": "full", "tables": ["dbo.resumo_faixas"], "batch_config": {"encoding": {"format": "arrow"}}}
    config = servers.tap_config() | tables | {"connect_timeout_seconds": 3} | (tap or {})
    return Pipeline(folder, config, servers.target_config() | {"connect_timeout_seconds": 3} | (target or {})).run()


def _secrets(servers: Servers) -> list[str]:
    made = servers.sandbox.settings
    return [made.mssql_password, made.postgres_password, made.restricted_password]


def _check(servers: Servers, ended: Ended, log: str, says: list[str]) -> None:
    assert "Traceback" not in ended.tap_log + ended.target_log, ended.explain()
    errors = [line for line in log.splitlines() if "ERROR" in line or "CRITICAL" in line]
    assert len(errors) == 1, ended.explain()
    for word in says:
        assert word.lower() in errors[0].lower(), errors[0]
    for secret in _secrets(servers):
        assert secret not in ended.tap_log + ended.target_log


@pytest.mark.parametrize(
    ("wrong", "code", "says"),
    [
        ({"host": "no-such-host.invalid"}, 2, ["no-such-host.invalid"]),
        ({"port": 0}, 2, ["port"]),
        ({"port": "closed"}, 3, ["127.0.0.1"]),
        ({"password": "wrong"}, 2, ["login", "sa"]),
        ({"database": "NADA"}, 2, ["NADA"]),
        ({"tables": ["dbo.nada"]}, 2, ["dbo.nada"]),
        ({"user": "sem_direitos", "password": "restricted"}, 2, ["resumo_faixas"]),
        ({"key_columns": ["nada"]}, 2, ["nada"]),
        ({"sync_mode": "incremental", "cursor_column": "nada"}, 2, ["nada"]),
        ({"page_size": 0}, 2, ["page_size"]),
        ({"sync_mode": "sideways"}, 2, ["sync_mode"]),
        ({"no_such_setting": 1}, 2, ["no_such_setting"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_the_source(servers: Servers, tmp_path: Path, wrong: dict[str, Any], code: int, says: list[str]) -> None:
    if wrong.get("port") == "closed":
        wrong = {"port": _free_port()}
    if wrong.get("password") == "restricted":
        wrong = wrong | {"password": servers.sandbox.settings.restricted_password}
    ended = _run(servers, tmp_path, tap=wrong)
    assert ended.tap == code, ended.explain()
    _check(servers, ended, ended.tap_log, says)
    assert ended.target == 0
    assert not ended.states


@pytest.mark.parametrize(
    ("wrong", "code", "says"),
    [
        ({"host": "no-such-host.invalid"}, 4, ["no-such-host.invalid"]),
        ({"port": "closed"}, 4, ["127.0.0.1"]),
        ({"password": "wrong"}, 2, ["paralelo"]),
        ({"database": "nada"}, 2, ["nada"]),
        ({"max_shrink_percent": 200}, 2, ["max_shrink_percent"]),
        ({"activation": "sideways"}, 2, ["activation"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_the_target(servers: Servers, tmp_path: Path, wrong: dict[str, Any], code: int, says: list[str]) -> None:
    if wrong.get("port") == "closed":
        wrong = {"port": _free_port()}
    ended = _run(servers, tmp_path, target=wrong)
    assert ended.target == code, ended.explain()
    assert ended.tap >= 0 or ended.tap == -signal.SIGTERM, f"its driver does not crash: {ended.explain()}"
    _check(servers, ended, ended.target_log, says)
    assert not ended.states


def test_a_target_that_lacks_what_the_bookmark_stands_for(servers: Servers, tmp_path: Path) -> None:
    """Another database, or this one restored from last week's copy: the full sync comes first."""
    tap = servers.tap_config() | {"tables": ["dbo.resumo_faixas"], "cursor_column": "mod_ts"}
    with servers.connect_target() as target:
        target.execute("DROP DATABASE IF EXISTS outra_base")
        target.execute("CREATE DATABASE outra_base")
    here, there = servers.target_config(), servers.target_config() | {"database": "outra_base"}
    job = Pipeline(tmp_path / "job", tap, here)
    for mode in ("full", "incremental", "incremental"):
        ended = job.run(sync_mode=mode)
        assert ended.ok, ended.explain()
    job.target_config = there
    ended = job.run(sync_mode="incremental")
    assert ended.target == 2, ended.explain()
    _check(servers, ended, ended.target_log, ["which this database does not hold", "run its full sync"])
    ended = Pipeline(tmp_path / "full", tap, there).run(sync_mode="full")
    assert ended.ok, ended.explain()
    ended = job.run(sync_mode="incremental")
    assert ended.ok, ended.explain()


def test_a_target_that_cannot_be_written(servers: Servers, tmp_path: Path) -> None:
    with servers.connect_target() as target:
        target.execute("CREATE ROLE so_leitura LOGIN PASSWORD 'so-leitura-1'")
        try:
            ended = _run(servers, tmp_path, target={"user": "so_leitura", "password": "so-leitura-1"})
        finally:
            target.execute("DROP ROLE so_leitura")
    assert ended.target == 2, ended.explain()
    _check(servers, ended, ended.target_log, ["permission"])
