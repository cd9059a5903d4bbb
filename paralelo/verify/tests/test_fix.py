"""Rows copied again through the target itself, and extra ones deleted when that is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from sync_rules.exits import AlreadyRunning, ConfigurationError, SyncError
from tap_mssql import hidden
from target_postgres import catalog
from target_postgres.lock import Locks
from target_postgres.settings import Settings

from paralelo import project
from paralelo.verify import cli, keys
from paralelo.verify import fix as fix_module
from paralelo.verify.fix import Fixed, fix
from paralelo.verify.pairing import Wanted
from paralelo.verify.sqlserver import SqlServer
from paralelo.verify.table import Options, verify_table
from paralelo.verify.tally import Tally
from paralelo.verify.tests.conftest import Pair


@pytest.fixture
def settings(postgres_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    # The target must not heed them: what is compared and what is mended are one server.
    monkeypatch.setenv("TARGET_POSTGRES_HOST", "/there/is/no/such/folder")
    (tmp_path / ".env").write_text("TARGET_POSTGRES_DATABASE=another\n")
    monkeypatch.chdir(tmp_path)
    host = str(psycopg.conninfo.conninfo_to_dict(postgres_uri)["host"])
    return Settings.of({"host": host, "user": "postgres", "database": "postgres", "ssl_mode": "disable"})


def compared(pair: Pair, table: str, source: SqlServer | None = None) -> Tally:
    """What a deep comparison finds, of the pair's own source or another."""
    found: list[Tally] = []
    wanted = Wanted(f"dbo.{table}", "public", table)
    verify_table(
        source or pair.source, pair.target, wanted, Options("deep"), lambda _paired, tally: found.append(tally)
    )
    return found[0]


@pytest.mark.parametrize("extra", [False, True])
def test_a_table_is_mended(pair: Pair, settings: Settings, monkeypatch: pytest.MonkeyPatch, extra: bool) -> None:
    monkeypatch.setattr(fix_module, "_ROWS_A_FILE", 1)
    monkeypatch.setattr(keys, "KEYS_PER_LOOKUP", 1)
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.consertar",
        "CREATE TABLE dbo.consertar (id int NOT NULL PRIMARY KEY, nome varchar(20), mod_ts datetime2(7) NOT NULL)",
        "INSERT INTO dbo.consertar VALUES (1, 'um', '2024-01-01'), (2, 'dois', '2024-01-01')",
        "INSERT INTO dbo.consertar VALUES (3, 'três', '2024-01-01')",
    )
    pair.copy("consertar", "id")
    pair.sql(
        "DELETE FROM consertar WHERE id = 1",
        # It claims to be newer than the source's: that must not save it.
        "UPDATE consertar SET nome = 'outro', mod_ts = '2030-01-01' WHERE id = 2",
        "INSERT INTO consertar VALUES (8, 'a mais', '2024-01-01'), (9, 'a mais', '2024-01-01')",
        # A trigger finds tables as the role does.
        "DROP TABLE IF EXISTS apagadas; CREATE TABLE apagadas (id int)",
        "CREATE OR REPLACE FUNCTION anota() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO apagadas VALUES (OLD.id); RETURN OLD; END'",
        "CREATE TRIGGER anota BEFORE DELETE ON consertar FOR EACH ROW EXECUTE FUNCTION anota()",
    )
    assert fix(pair.source, pair.target, settings, compared(pair, "consertar"), extra=extra) == Fixed(2, 2 * extra)
    report = verify_table(pair.source, pair.target, Wanted("dbo.consertar", "public", "consertar"), Options("deep"))
    assert (report.missing, report.different, report.extra) == (0, 0, 0 if extra else 2)


@pytest.mark.parametrize(("option", "extra", "deleted"), [("--fix", 1, 0), ("--fix-extra", 0, 1)])
def test_the_command_deletes_only_where_that_is_asked_for_by_name(
    pair: Pair, settings: Settings, lacking: Tally, monkeypatch: pytest.MonkeyPatch, capsys: Any,
    option: str, extra: int, deleted: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(project, "dotenv_values", lambda _: {})  # the project's own `.env` names other servers
    for prefix, given in (("TAP_MSSQL", pair.source._config), ("TARGET_POSTGRES", settings.load)):
        for name, value in given.items():
            if isinstance(value, str | int):
                monkeypatch.setenv(f"{prefix}_{name.upper()}", str(value))
    pair.sql("INSERT INTO em_uso VALUES (9)")
    pair.postgres.execute("SELECT pg_advisory_lock(hashtextextended('paralelo:public.em_uso', 0))")
    assert cli.main(["dbo.em_uso", "--deep", option, "--json", "-"]) == 1
    [told] = json.loads(capsys.readouterr().out)["tables"]
    assert (told["missing"], told["extra"]) == (1, 1)
    assert any("not mended: " in note and "another sync holds its lock" in note for note in told["notes"])
    pair.postgres.execute("SELECT pg_advisory_unlock_all()")
    assert cli.main(["dbo.em_uso", "--deep", option, "--json", "-"]) == extra
    told = json.loads(capsys.readouterr().out)["tables"][0]
    found = {name: told[name] for name in ("copied_again", "deleted", "missing", "extra")}
    assert found == {"copied_again": 1, "deleted": deleted, "missing": 0, "extra": extra}
    assert len(pair.postgres.execute("SELECT id FROM em_uso").fetchall()) == 2 + extra


def test_a_tables_own_rules_hold_for_its_mended_rows(pair: Pair, settings: Settings) -> None:
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.regras",
        "CREATE TABLE dbo.regras (id int NOT NULL PRIMARY KEY, nome varchar(20))",
        "INSERT INTO dbo.regras VALUES (1, 'a' + CHAR(0) + 'b')",
    )
    pair.copy("regras", "id")
    pair.sql("UPDATE regras SET nome = 'x'")
    source = SqlServer({**pair.source._config, "load": {"nul_characters": "strip"}}, "")
    try:
        found = compared(pair, "regras", source)
        assert fix(source, pair.target, settings, found, extra=False) == Fixed(1, 0)
    finally:
        source.close()
    assert pair.postgres.execute("SELECT nome FROM regras").fetchall() == [("ab",)]


def test_columns_that_no_sync_copies_are_not_copied(pair: Pair, settings: Settings) -> None:
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.parte",
        "CREATE TABLE dbo.parte (id int NOT NULL PRIMARY KEY, nome varchar(20), CPF varchar(14), n int)",
        "INSERT INTO dbo.parte VALUES (1, 'um', '000', 1), (2, 'dois', '000', 2)",
    )
    pair.copy("parte", "id")
    pair.sql("ALTER TABLE parte DROP COLUMN cpf", "DELETE FROM parte WHERE id = 1")
    found: list[Tally] = []
    select = ("*.*", "!*.CPF")
    wanted = Wanted("dbo.parte", "public", "parte", columns=("nome",), select=select, stream="dbo-parte")
    verify_table(pair.source, pair.target, wanted, Options("deep"), lambda _paired, tally: found.append(tally))
    assert fix(pair.source, pair.target, settings, found[0], extra=False) == Fixed(1, 0)
    rows = pair.postgres.execute("SELECT * FROM parte ORDER BY id").fetchall()
    assert rows == [(1, "um", 1), (2, "dois", 2)]


def test_masks_are_neither_compared_nor_copied(
    pair: Pair, settings: Settings, lacking: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hidden, "optional", lambda _c, sql, *_, **__: [("id",)] if sql == hidden._MASKED else [])
    report = verify_table(pair.source, pair.target, Wanted("dbo.em_uso", "public", "em_uso"), Options("quick"))
    assert report.verdict == "could not compare"
    assert "gets masks instead of the values of id" in str(report.error)
    with pytest.raises(ConfigurationError, match="gets masks instead of the values of id"):
        fix(pair.source, pair.target, settings, lacking, extra=False)
    assert pair.postgres.execute("SELECT id FROM em_uso").fetchall() == [(2,)]


def test_a_row_that_a_look_by_its_key_cannot_prove_gone_is_not_deleted(pair: Pair, settings: Settings) -> None:
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.guardar",
        "CREATE TABLE dbo.guardar (k varchar(20) NOT NULL PRIMARY KEY, n int)",
        "INSERT INTO dbo.guardar VALUES ('a' + CHAR(0) + 'b', 1)",
    )
    pair.copy("guardar", "k")
    pair.sql("INSERT INTO guardar VALUES ('a\u2400c', 1), ('d', 1)")
    found = compared(pair, "guardar")
    assert found.counts["extra"] == 2
    # As if the first reading had overlooked the row: it has to be found again before anything is deleted.
    key = found.to_delete[0].schema
    found.to_delete.append(pa.Table.from_pylist([{"k": "a\u2400b"}], key))
    assert fix(pair.source, pair.target, settings, found, extra=True) == Fixed(0, 1)
    left = pair.postgres.execute("SELECT k FROM guardar ORDER BY k").fetchall()
    assert left == [("a\u2400b",), ("a\u2400c",)]


def test_an_equals_of_the_roles_own_deletes_no_other_row(pair: Pair, settings: Settings) -> None:
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.igual",
        "CREATE TABLE dbo.igual (k varchar(20) NOT NULL PRIMARY KEY)",
        "INSERT INTO dbo.igual VALUES ('a')",
    )
    pair.copy("igual", "k")
    pair.sql("INSERT INTO igual VALUES ('A')")
    found = compared(pair, "igual")
    pair.sql(
        "CREATE FUNCTION mesmo(varchar, varchar) RETURNS boolean IMMUTABLE"
        " LANGUAGE sql AS 'SELECT lower($1) = lower($2)'",
        "CREATE OPERATOR = (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = mesmo)",
    )
    try:
        assert fix(pair.source, pair.target, settings, found, extra=True) == Fixed(0, 1)
    finally:
        pair.sql("DROP FUNCTION mesmo CASCADE")
    assert pair.postgres.execute("SELECT k FROM igual").fetchall() == [("a",)]


class Watched:
    """The source, which notes how many locks are held in the target when its rows are read."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self.locks: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pair.source, name)

    def read_as_tap(self, *asked: Any) -> Any:
        self.locks.append(self._pair.locks())
        return self._pair.source.read_as_tap(*asked)

    def read_keys(self, *asked: Any) -> Any:
        self.locks.append(self._pair.locks())
        return self._pair.source.read_keys(*asked)


@pytest.fixture
def lacking(pair: Pair) -> Tally:
    """What a table lacks that is in use."""
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.em_uso",
        "CREATE TABLE dbo.em_uso (id int NOT NULL PRIMARY KEY)",
        "INSERT INTO dbo.em_uso VALUES (1), (2)",
    )
    pair.copy("em_uso", "id")
    pair.sql("DELETE FROM em_uso WHERE id = 1")
    return compared(pair, "em_uso")


def test_rows_are_read_under_the_targets_lock(pair: Pair, settings: Settings, lacking: Tally) -> None:
    """Or one that a sync wrote meanwhile would be written over by the one that was read before, or be deleted."""
    source: Any = Watched(pair)
    assert fix(source, pair.target, settings, lacking, extra=False) == Fixed(1, 0)
    assert source.locks == [2]
    pair.until_unlocked()
    pair.sql("INSERT INTO em_uso VALUES (9)")
    assert fix(source, pair.target, settings, compared(pair, "em_uso"), extra=True) == Fixed(0, 1)
    assert source.locks == [2, 2]
    pair.until_unlocked()


def test_a_row_that_has_come_back_at_the_source_is_not_deleted(pair: Pair, settings: Settings) -> None:
    pair.t_sql("DROP TABLE IF EXISTS dbo.voltou", "CREATE TABLE dbo.voltou (id int NOT NULL PRIMARY KEY)")
    pair.copy("voltou", "id")
    pair.sql("INSERT INTO voltou VALUES (1), (2)")
    found = compared(pair, "voltou")
    pair.t_sql("INSERT INTO dbo.voltou VALUES (1)")
    assert fix(pair.source, pair.target, settings, found, extra=True) == Fixed(0, 1)
    assert pair.postgres.execute("SELECT id FROM voltou").fetchall() == [(1,)]


def test_a_key_that_the_target_has_twice_does_not_lose_its_row(pair: Pair, settings: Settings) -> None:
    pair.t_sql("DROP TABLE IF EXISTS dbo.duas", "CREATE TABLE dbo.duas (id int NOT NULL PRIMARY KEY)")
    pair.t_sql("INSERT INTO dbo.duas VALUES (1)")
    pair.copy("duas", "id")
    pair.sql("ALTER TABLE duas DROP CONSTRAINT duas_pkey", "INSERT INTO duas VALUES (1), (2), (2)")
    found = compared(pair, "duas")
    assert found.counts == {"missing": 0, "extra": 3, "different": 0}
    assert fix(pair.source, pair.target, settings, found, extra=True) == Fixed(0, 2)
    assert pair.postgres.execute("SELECT id FROM duas").fetchall() == [(1,), (1,)]


def test_rows_that_the_target_refuses_are_not_mended(pair: Pair, settings: Settings, lacking: Tally) -> None:
    pair.sql("ALTER TABLE em_uso ADD CHECK (id > 1)")
    with pytest.raises(SyncError, match=r"the target ended with code \d+: .*em_uso"):
        fix(pair.source, pair.target, settings, lacking, extra=False)


def test_while_a_sync_runs_nothing_is_read(pair: Pair, settings: Settings, lacking: Tally) -> None:
    source: Any = Watched(pair)
    pair.sql("INSERT INTO em_uso VALUES (9)")
    strays = compared(pair, "em_uso")
    strays.to_copy.clear()
    locks = Locks(settings)
    locks.take(catalog.TableName("public", "em_uso"), "incremental")
    try:
        with pytest.raises(SyncError, match=r"code 5: .*another sync holds its lock"):
            fix(source, pair.target, settings, lacking, extra=False)
        with pytest.raises(AlreadyRunning, match="another sync holds its lock"):
            fix(source, pair.target, settings, strays, extra=True)
    finally:
        locks.close()
    assert source.locks == []
