"""`doctor.py` on servers that are well, badly set, out of rights, and not there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tap_mssql import hidden, survey
from target_postgres.connection import OLDEST_SERVER

from paralelo import project
from paralelo.cli.doctor import main
from paralelo.doctor import machine, source, target
from tests.servers import Servers

Findings = dict[str, list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def environment(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in servers.sandbox.environment.items():
        monkeypatch.setenv(name, value)


def _asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Findings]:
    code = main([*arguments, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == code
    found: Findings = {}
    for one in told["findings"]:
        assert one["fix"] or one["level"] in ("ok", "skipped"), f"{one['check']} has no fix"
        found.setdefault(one["check"], []).append(one)
    return code, found


def _levels(found: Findings, check: str) -> set[str]:
    return {one["level"] for one in found[check]}


def test_all_is_well_with_the_sandbox(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = _asked(capsys)
    assert code == 0
    for check in ("python", "source", "source TLS", "source clock", "isolation", "target", "target rights",
                  "connections", "target bi_credores"):  # fmt: skip
        assert _levels(found, check) == {"ok"}, found[check]
    assert "no index begins with the cursor mod_ts" in found["table bi-credores"][0]["said"]
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) < 100
    settings = servers.sandbox.settings
    assert settings.mssql_password not in printed
    assert settings.postgres_password not in printed


def test_servers_that_are_not_there_are_findings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TAP_MSSQL_PORT", "1")
    code, found = _asked(capsys)
    assert (code, _levels(found, "source"), _levels(found, "target rights")) == (3, {"problem"}, {"ok"})
    monkeypatch.setenv("TARGET_POSTGRES_PORT", "1")
    code, found = _asked(capsys)
    assert (code, _levels(found, "source"), _levels(found, "target")) == (3, {"problem"}, {"problem"})
    assert _levels(found, "python") == {"ok"}


def test_refused_credentials_are_told_before_what_a_restart_mends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TAP_MSSQL_PASSWORD", "pl4nted-Wrong")
    monkeypatch.setenv("TARGET_POSTGRES_PORT", "1")
    code, found = _asked(capsys)
    assert code == 2
    assert "login failed" in found["source"][0]["said"]
    assert "pl4nted" not in json.dumps(found)


def test_a_setting_that_nobody_reads_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TAP_MSSQL_PASWORD", "pl4nted-Passw0rd")
    code, found = _asked(capsys)
    assert code == 0
    assert "TAP_MSSQL_PASWORD (meant: TAP_MSSQL_PASSWORD?)" in found["settings"][0]["said"]
    assert "pl4nted" not in json.dumps(found)


def test_a_target_that_takes_no_writes_is_told(servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    with servers.connect_target() as connection:
        connection.execute("ALTER ROLE CURRENT_USER SET default_transaction_read_only = on")
        try:
            code, found = _asked(capsys)
        finally:
            connection.execute("ALTER ROLE CURRENT_USER RESET default_transaction_read_only")
    assert code == 2
    assert "default_transaction_read_only is on" in found["target version"][0]["said"]


def test_missing_rights_are_told_with_their_grants(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = servers.sandbox.settings
    monkeypatch.setenv("TAP_MSSQL_USER", settings.restricted_user)
    monkeypatch.setenv("TAP_MSSQL_PASSWORD", settings.restricted_password)
    with servers.connect_target() as connection:
        connection.execute("CREATE ROLE sem_direitos LOGIN PASSWORD 'pl4nted' CONNECTION LIMIT 3")
        connection.execute("CREATE TABLE IF NOT EXISTS public.resumo_faixas (id int)")
        connection.execute("GRANT SELECT, INSERT, UPDATE ON public.resumo_faixas TO sem_direitos")
        monkeypatch.setenv("TARGET_POSTGRES_USER", "sem_direitos")
        monkeypatch.setenv("TARGET_POSTGRES_PASSWORD", "pl4nted")
        try:
            code, found = _asked(capsys)
            connection.execute("ALTER TABLE public.resumo_faixas ENABLE ROW LEVEL SECURITY")
            _, hidden = _asked(capsys, "resumo-faixas")
        finally:
            connection.execute("DROP TABLE public.resumo_faixas")
            connection.execute("DROP ROLE sem_direitos")
    assert code == 2
    fixes = {one["fix"] for one in found["target rights"] if one["level"] == "problem"}
    assert 'GRANT USAGE, CREATE ON SCHEMA "public" TO "sem_direitos"' in fixes
    assert any("SCHEMA paralelo" in fix for fix in fixes)
    assert _levels(found, "target resumo_faixas") == {"problem"}
    assert _levels(found, "connections") == {"warning"}
    assert "row security hides rows" in hidden["target resumo_faixas"][0]["said"]
    assert "problem" in _levels(found, "table bi-credores")


def test_a_column_that_select_leaves_out_need_not_be_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(survey, "readable", lambda _connection, _name, columns: asked.extend(c.name for c in columns))
    [table] = [one for one in project.tables() if one.name == "bi-credores"]
    findings = source.checks([replace(table, select=("*.UF", "*.CIDADE", "!*.CIDADE"))], os.environ)
    assert "problem" not in {one.level for one in findings}
    assert asked == ["id", "UF", "mod_ts"]


@pytest.mark.parametrize(
    ("question", "level", "words"),
    [("_MASKED", "problem", "masks instead of the values of id"), ("_FILTERED", "warning", "policy id filters")],
)
def test_what_the_server_hides_from_the_login_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], question: str, level: str, words: str
) -> None:
    """A sync would end with it, or take hidden rows for deleted ones."""
    sql = getattr(hidden, question)
    monkeypatch.setattr(hidden, "optional", lambda _connection, asked, *_, **__: [("id",)] if asked == sql else [])
    code, found = _asked(capsys, "bi-credores")
    told = [one for one in found["table bi-credores"] if words in one["said"]]
    assert ([one["level"] for one in told], code) == ([level], 2 if level == "problem" else 0)


def test_snapshot_that_is_not_allowed_is_told_before_the_sync(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TAP_MSSQL_ISOLATION", "snapshot")
    with servers.connect_source() as connection:
        connection.execute("ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION OFF")
        try:
            code, found = _asked(capsys, "bi-credores")
        finally:
            connection.execute("ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON")
    assert (code, _levels(found, "isolation")) == (2, {"problem"})
    assert "table resumo-faixas" not in found


def test_what_a_server_does_not_tell_of_its_database_is_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sync goes on without it."""
    monkeypatch.setattr(survey, "_DATABASE", "SELECT 1, 1, 'x' FROM sys.there_is_none")
    _, found = _asked(capsys, "bi-credores")
    assert _levels(found, "isolation") == {"skipped"}


@pytest.mark.parametrize(
    ("version", "edition", "level"),
    [
        ("10.50.6000.34", "Standard Edition (64-bit)", "problem"),
        ("11.0.7001.0", "Standard Edition (64-bit)", "ok"),
        ("10.0.17154.0", "SQL Azure", "ok"),  # a dedicated pool of Synapse
    ],
)
def test_azures_servers_are_not_judged_by_their_version(
    monkeypatch: pytest.MonkeyPatch, version: str, edition: str, level: str
) -> None:
    monkeypatch.setattr(survey, "version", lambda _connection: (version, edition))
    findings = source.checks([one for one in project.tables() if one.name == "bi-credores"], os.environ)
    assert {one.level for one in findings if one.check == "source version"} == {level}


def test_meltanos_database_that_cannot_be_reached_is_told_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MELTANO_DATABASE_URI", "postgresql+psycopg://someone@127.0.0.1:1/meltano")
    _, found = _asked(capsys)
    [told] = found["meltano locks"]
    assert told["level"] == "problem"
    assert "refused" in told["said"]


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("TARGET_POSTGRES_MAX_REJECTS", "pl4nted", "a whole number"),
        ("TARGET_POSTGRES_MAX_REJECTS", "", "a whole number"),
        ("TARGET_POSTGRES_ACTIVATION", "pl4nted", "auto, swap or merge"),
        ("TARGET_POSTGRES_ALLOW_SHRINK", "pl4nted", """["one", "another"]"""),
        ("TAP_MSSQL_LOAD", "pl4nted", "an object in JSON"),
        ("TARGET_POSTGRES_ALLOW_SHRINK", '["clientes"]', None),
        ("TARGET_POSTGRES_ALLOW_SHRINK", "['clientes']", None),
        ("TARGET_POSTGRES_MAX_REJECTS", "5", None),
        ("TARGET_POSTGRES_PASSWORD", "", None),
    ],
)
def test_a_value_that_meltano_cannot_read_is_told_by_its_name(variable: str, value: str, expected: str | None) -> None:
    values = {"TARGET_POSTGRES_HOST": "h", variable: value}
    found = [one for one in machine.settings(project.root(), values) if one.level == "problem"]
    assert [one.said for one in found] == ([] if expected is None else [f"{variable} cannot be read"])
    assert all(expected in one.fix and "pl4nted" not in one.said + one.fix for one in found if expected)


@pytest.mark.parametrize(("major", "level"), [(OLDEST_SERVER - 1, "problem"), (OLDEST_SERVER, "ok")])
def test_a_target_older_than_the_loader_takes_is_a_problem(major: int, level: str) -> None:
    server = {"standby": False, "read_only": False, "version": major * 10_000, "shown": f"{major}.0"}
    [found] = target._server({**server, "encoding": "UTF8"})
    assert found.level == level
    assert [one.level for one in target._server({**server, "encoding": "SQL_ASCII"})] == ["problem"]


@pytest.mark.parametrize(
    ("encrypted", "nearby", "mode", "level"),
    [(False, False, "", "warning"), (False, True, "", "ok"), (True, False, "require", "warning"),
     (True, True, "require", "ok"), (True, False, "verify-ca", "ok"), (True, False, "verify-full", "ok")],
)  # fmt: skip
def test_a_server_that_anybody_could_be_is_told(encrypted: bool, nearby: bool, mode: str, level: str) -> None:
    server = {"encrypted": encrypted, "nearby": nearby}
    [found] = target._tls(server, {"TARGET_POSTGRES_SSL_MODE": mode})
    assert found.level == level


@pytest.mark.parametrize(("mode", "levels"), [(0o600, []), (0o640, ["warning"]), (0o604, ["warning"])])
def test_settings_that_others_can_read_are_told(tmp_path: Path, mode: int, levels: list[str]) -> None:
    (tmp_path / "extract").mkdir()
    (tmp_path / ".env").touch(mode)
    (tmp_path / ".env").chmod(mode)
    found = list(machine.settings(tmp_path, {"TARGET_POSTGRES_HOST": "h"}))
    assert [one.level for one in found if one.level != "ok"] == levels


@pytest.mark.parametrize(
    ("variable", "value", "check"),
    [
        ("PARALELO_NOTIFY_URLS", "nobody://pl4nted", "notices"),
        ("PARALELO_NOTIFY_ON", "sucess", "notices"),
        ("PARALELO_STALL", "long", "settings"),
        ("PARALELO_MAX_RESTARTS", "-1", "settings"),
        ("PARALELO_LAG_LIMIT_SECONDS", "-5", "settings"),
    ],
)
def test_what_supervised_runs_would_refuse_is_a_problem(
    variable: str, value: str, check: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    code, found = _asked(capsys)
    assert (code, "problem" in _levels(found, check)) == (2, True)
    assert "pl4nted" not in str(found)


def test_a_line_without_a_value_is_told_where_meltano_can_make_nothing_of_it(tmp_path: Path) -> None:
    for folder in ("extract", "load"):
        shutil.copytree(project.root() / folder, tmp_path / folder)
    lines = "TAP_MSSQL_PORT=\nTARGET_POSTGRES_SSL_MODE=\nTAP_MSSQL_PASSWORD=\nTAP_MSSQL_FETCH_SIZE=\n"
    (tmp_path / ".env").write_text(lines)
    found = machine.settings(tmp_path, {"TAP_MSSQL_FETCH_SIZE": "5"})
    told = [one.said for one in found if one.level == "problem"]
    assert told == ["TAP_MSSQL_PORT cannot be read", "TARGET_POSTGRES_SSL_MODE cannot be read"]


def test_a_line_of_the_settings_that_cannot_be_read_is_told_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "extract").mkdir()
    (tmp_path / ".env").write_text("TARGET_POSTGRES_HOST=h\nTARGET_POSTGRES_PASSWORD='pl4nted\n")
    (tmp_path / ".env").chmod(0o600)
    [found] = [one for one in machine.settings(tmp_path, {}) if one.level == "problem"]
    assert found.said == ".env: line 2 cannot be read, and is left out"


@pytest.mark.parametrize(("least", "level"), [((0, 0.0), "ok"), ((2**62, 0.0), "warning"), ((0, 1.0), "warning")])
def test_a_disk_that_is_nearly_full_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: tuple[int, float], level: str
) -> None:
    monkeypatch.setattr(machine, "LEAST_FREE", least[0])
    monkeypatch.setattr(machine, "LEAST_FREE_SHARE", least[1])
    assert {one.level for one in machine.disk(tmp_path, {})} == {level}


@pytest.mark.parametrize(
    ("published", "ledger", "levels"), [(True, False, ["warning"]), (True, True, []), (False, False, [])]
)
def test_a_publication_of_all_tables_is_told_before_the_ledger_is_there(
    published: bool, ledger: bool, levels: list[str]
) -> None:
    found = target._publications({"all_published": published, "ledger_there": ledger})
    assert [one.level for one in found] == levels


def test_a_slot_that_nobody_reads_and_a_target_without_room_are_told(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with servers.connect_target() as connection:
        connection.execute("SELECT pg_create_physical_replication_slot('left_behind', true)")
        try:
            _, found = _asked(capsys)
            assert _levels(found, "write-ahead log") == {"ok"}
            monkeypatch.setattr(target, "IDLE_SLOT_BYTES", -1)
            monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=2, used=1, free=1))
            _, found = _asked(capsys)
        finally:
            connection.execute("SELECT pg_drop_replication_slot('left_behind')")
    assert "idle replication slots (left_behind) hold" in found["write-ahead log"][0]["said"]
    assert _levels(found, "target disk") == {"warning"}


def test_settings_of_a_dead_run_are_told_and_those_in_use_are_not(tmp_path: Path) -> None:
    made = [tmp_path / ".meltano" / "run" / "tap-x" / f"{name}.config.json" for name in ("dead", "living")]
    made[0].parent.mkdir(parents=True)
    for path in made:
        path.touch()
        os.utime(path, (0, 0))
    with subprocess.Popen(["tail", "-f", str(made[1])]) as living:
        try:
            found = list(machine.meltano_locks(tmp_path, [], {}))
        finally:
            living.kill()
    assert [one.said.partition(" ")[0] for one in found if one.check == "leftovers"] == ["1"]
