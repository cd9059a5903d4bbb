"""`plan.py` against a source and a target in every relation to each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from paralelo import plan as plans
from paralelo import project
from paralelo.cli.plan import main
from tests.compare import source_rows
from tests.servers import Servers

Told = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def target(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection[Any]]:
    """The target, with a schema of the test's own as the one to write to."""
    for name, value in servers.sandbox.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA", "planned")
    with servers.connect_target() as connection:
        connection.execute("CREATE SCHEMA planned")
        yield connection
        connection.execute("DROP SCHEMA planned CASCADE")


@pytest.fixture
def asked(target: psycopg.Connection[Any], capsys: pytest.CaptureFixture[str]) -> Told:
    def ask(table: str, *arguments: str) -> tuple[int, dict[str, Any]]:
        code = main([table, "--json", *arguments])
        [told] = json.loads(capsys.readouterr().out)["tables"]
        return code, dict(told)

    return ask


@pytest.fixture
def rows(servers: Servers) -> int:
    """How many there are now: other tests on these servers add some."""
    with servers.connect_source() as source:
        return len(source_rows(source, "dbo.bi_credores"))


def test_a_first_copy_is_planned_from_the_source_and_a_probe(asked: Told, rows: int) -> None:
    code, told = asked("bi-credores", "--probe", "2")
    assert (code, told["rows"], told["pages"], told["refused"]) == (0, rows, 1, "")
    assert told["activation"].startswith("create")
    assert told["known_by"].startswith("a probe")
    assert told["seconds"] > 0
    assert told["disk_bytes"] > told["bytes"] > rows * 100
    types = {column["name"]: column["target_type"] for column in told["columns"]}
    assert types["SALDO"] == "numeric(38,2)"


def test_the_target_is_asked_in_a_session_that_cannot_write(asked: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = plans.plan, []

    def plan(table: Any, source: Any, connection: Any, *more: Any) -> Any:
        seen.append(connection.execute("SHOW transaction_read_only").fetchone())
        return real(table, source, connection, *more)

    monkeypatch.setattr("paralelo.cli.plan.plan", plan)
    asked("bi-credores")
    assert seen == [("on",)]


def test_columns_that_select_leaves_out_are_no_part_of_it(
    asked: Told, target: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = [replace(table, select=("*.*", "!*.SALDO", "!*.id")) for table in project.tables()]
    monkeypatch.setattr(project, "tables", lambda *_: tables)
    target.execute("CREATE TABLE planned.bi_credores (id bigint PRIMARY KEY, saldo numeric(38,2))")
    _, told = asked("bi-credores", "--probe", "0")
    names = {column["name"] for column in told["columns"]}
    assert "SALDO" not in names
    assert "id" in names, "the key is copied whatever select says"
    assert told["activation"].startswith("merge")
    assert "saldo" in told["activation"]


def test_a_view_on_the_live_table_makes_it_a_merge(asked: Told, target: psycopg.Connection[Any]) -> None:
    target.execute("CREATE TABLE planned.resumo_faixas (id integer PRIMARY KEY, credor varchar(10))")
    _, told = asked("resumo-faixas", "--probe", "0")
    assert told["activation"] == "swap"
    assert "widened credor to character varying(30)" in told["changes"]
    assert told["seconds"] is None
    target.execute("CREATE VIEW planned.seen AS SELECT id FROM planned.resumo_faixas")
    _, told = asked("resumo-faixas", "--probe", "0")
    assert told["activation"].startswith("merge: ")
    assert "seen" in told["activation"]


def test_what_would_be_refused_is_said_before_it_is_read(asked: Told, target: psycopg.Connection[Any]) -> None:
    target.execute("CREATE TABLE planned.bi_credores AS SELECT g::bigint AS id FROM generate_series(1, 20000) AS g")
    target.execute("ANALYZE planned.bi_credores")
    code, told = asked("bi-credores", "--probe", "0")
    assert code == 7
    assert "max_shrink_percent" in told["refused"]
    target.execute("ALTER TABLE planned.bi_credores ADD mod_ts boolean")
    code, told = asked("bi-credores", "--probe", "0")
    assert code == 7
    assert "no type holds both" in told["refused"]


def test_an_empty_source_would_be_refused_though_stale_rows_are_kept(
    asked: Told, servers: Servers, target: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TARGET_POSTGRES_STALE_ROWS", "keep")
    tables = [replace(table, source="dbo.without_rows") for table in project.tables() if table.name == "bi-credores"]
    monkeypatch.setattr(project, "tables", lambda *_: tables)
    target.execute(
        "CREATE TABLE planned.bi_credores (id bigint PRIMARY KEY); INSERT INTO planned.bi_credores VALUES (1)"
    )
    target.execute("ANALYZE planned.bi_credores")
    with servers.connect_source() as source:
        source.execute("CREATE TABLE dbo.without_rows (id bigint NOT NULL PRIMARY KEY, mod_ts datetime2(7))")
        code, told = asked("bi-credores", "--probe", "0")
        source.execute("DROP TABLE dbo.without_rows")
    assert (code, told["rows"]) == (7, 0)
    assert "no row" in told["refused"]


def test_the_source_alone_is_told_of_without_a_target(
    asked: Told, rows: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TARGET_POSTGRES_PORT", "1")
    code, told = asked("bi-credores", "--probe", "0")
    assert (code, told["rows"]) == (0, rows)
    assert told["activation"].startswith("unknown")
    assert main(["all", "--probe", "0"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) < 100
    monkeypatch.setenv("TAP_MSSQL_PORT", "1")
    assert main(["all"]) == 3
