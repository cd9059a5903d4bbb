"""`add_table.py` on a source with tables of every kind, in a project of its own."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from paralelo import project
from paralelo.cli.add_table import main
from tests.servers import Servers

TABLES = (
    "CREATE TABLE adding.clientes (ID int NOT NULL PRIMARY KEY, obs nvarchar(max), mod_ts datetime2(7) NOT NULL)",
    "CREATE TABLE adding.heap (a int, b varchar(10))",
    "CREATE TABLE adding.[Ltda_$Customer.1] (k int NOT NULL PRIMARY KEY)",
)


@pytest.fixture(scope="module", autouse=True)
def tables(servers: Servers) -> Iterator[None]:
    with servers.connect_source() as connection:
        connection.execute("CREATE SCHEMA adding")
        for statement in TABLES:
            connection.execute(statement)
    yield
    with servers.connect_source() as connection:
        for name in ("clientes", "heap", "[Ltda_$Customer.1]"):
            connection.execute(f"DROP TABLE adding.{name}")


@pytest.fixture
def folder(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "extract").mkdir()
    (tmp_path / ".env").write_text("")
    for name, value in servers.sandbox.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(project, "root", lambda: tmp_path)
    return tmp_path / "extract"


def _files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_tables_like_a_pattern_are_written_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--like", "ADDING.*", "--dry-run"]) == 0
    assert _files(folder) == set()
    assert "would write: extract/clientes.meltano.yml" in capsys.readouterr().out
    assert main(["--like", "adding.*", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {one["name"]: (one["outcome"], one["modes"]) for one in told} == {
        "clientes": ("written", ["full", "incremental"]),
        "heap": ("written", ["full"]),
        "ltda-customer-1": ("written", ["full"]),
    }
    assert {table.source for table in project.tables()} == {
        "adding.clientes",
        "adding.heap",
        "[adding].[Ltda_$Customer.1]",
    }
    assert main(["--like", "adding.*"]) == 0
    assert "there already" in capsys.readouterr().out


def test_a_file_is_never_overwritten_by_surprise(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adding.clientes"]) == 0
    path = folder / "clientes.meltano.yml"
    written = path.read_text()
    path.write_text(written.replace("sync_mode: full", "sync_mode: full\n      page_size: 10"))
    mine = path.read_text()
    assert main(["adding.clientes"]) == 2
    assert path.read_text() == mine
    assert "-      page_size: 10" in capsys.readouterr().out
    assert main(["adding.clientes", "--force", "--dry-run"]) == 0
    assert path.read_text() == mine
    assert main(["adding.clientes", "--force"]) == 0
    assert path.read_text() == written
    assert "-      page_size: 10" in capsys.readouterr().out


def test_tables_of_a_sqlite_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "store.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE Pedidos (id INTEGER PRIMARY KEY, updated_at TEXT, anything)")
        connection.execute("CREATE TABLE log (a TEXT)")
        connection.execute("CREATE TABLE seen (id INTEGER PRIMARY KEY, updated_at INTEGER)")
    monkeypatch.setenv("TAP_SQLITE_PATH", str(file))
    assert main(["--source", "sqlite", "--all", "--json"]) == 0
    told = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert (told["pedidos"]["key"], told["pedidos"]["cursor"]) == (["id"], "updated_at")
    assert told["log"]["modes"] == ["full"]
    assert [name for name, one in told.items() if "set cursor_unit" in str(one["notes"])] == ["seen"]
    assert {table.plugin for table in project.tables()} == {"tap-sqlite"}
    assert main(["--source", "sqlite", "nothing"]) == 2
    assert "there is no table nothing" in capsys.readouterr().err
    file.with_name("store.db-wal").write_bytes(b"x")
    monkeypatch.setenv("TAP_SQLITE_IMMUTABLE", "true")
    assert main(["--source", "sqlite", "log"]) == 2, "the tap would refuse it"
    assert "lies beside it" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_many_tables_do_not_have_every_file_read_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "store.db"
    with sqlite3.connect(file) as connection:
        for number in range(9):
            connection.execute(f"CREATE TABLE many_{number} (id INTEGER PRIMARY KEY)")
    monkeypatch.setenv("TAP_SQLITE_PATH", str(file))
    read: list[str] = []

    class Counted(YAML):
        def load(self, stream: Any) -> Any:
            read.append(stream)
            return super().load(stream)

    monkeypatch.setattr(project, "YAML", Counted)
    for _ in range(2):
        assert main(["--source", "sqlite", "--all"]) == 0
    assert len(read) == len(set(read)) == 9


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["adding.nothing"], "adding.nothing: no such table"),
        (["--like", "adding.zz*"], "no table is like"),
        ([], "one of the three"),
        (["adding.heap", "--all"], "one of the three"),
        (["adding.heap", "--key", "zz"], "names zz"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    folder: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
    assert _files(folder) == set()


def test_a_server_that_is_not_there_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TAP_MSSQL_PORT", "1")
    assert main(["--all"]) == 3
    assert "cannot be reached" in capsys.readouterr().err
