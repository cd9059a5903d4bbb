"""Files of the project that are not as they should be are named, and are settings to mend."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from sync_rules.exits import ConfigurationError
from tap_sqlite.tap import TapSqlite
from target_postgres.names import fold

from paralelo import progress, project, states, units
from paralelo.cli.recover import standings
from paralelo.doctor import source
from paralelo.plugin_settings import settings_of

PLUGINS = "plugins: {extractors: [{name: tap-x, config: {sync_mode: full, tables: [dbo.x]}}]}\n"


@pytest.mark.parametrize(
    "text",
    [
        "plugins: {extractors: [{config: {}}]}",
        "plugins: [tap-x]",
        "plugins: {extractors: [tap-x]}",
        PLUGINS + "jobs: [{tasks: [tap-x target-postgres]}]",
        PLUGINS + "jobs: [{name: j, tasks: ['']}]",
        PLUGINS + "jobs: [j]",
        PLUGINS + "jobs: 3",
    ],
)
def test_a_tables_file_that_is_not_as_the_others_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "extract").mkdir()
    (tmp_path / "extract" / "bad.meltano.yml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"bad\.meltano\.yml"):
        project.tables(tmp_path)


def test_an_environment_file_that_is_no_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("TAP_MSSQL_PASSWORD=senhaç\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"\.env is not in UTF-8"):
        progress.settings({}, tmp_path)


def test_a_line_of_the_environment_file_that_cannot_be_read_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".env").write_text("A=1\n" * 76 + "PASSWORD='pl4nted\nB=2\n")
    for _ in range(3):
        found = progress.settings({}, tmp_path)
    assert (found["A"], found["B"], "PASSWORD" in found) == ("1", "2", False)
    assert caplog.messages == [".env: no NAME=value that can be read at line 77"]


def test_the_environment_counts_before_its_file_and_an_empty_line_is_no_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("A_PORT=1\nB_PORT=1\nC_PORT=1\nD_PORT=\n")
    monkeypatch.setenv("B_PORT", "2")
    monkeypatch.setenv("C_PORT", "2")
    found = progress.settings({"C_PORT": "3"}, tmp_path)
    assert {name: found.get(f"{name}_PORT") for name in "ABCD"} == {"A": "1", "B": "2", "C": "3", "D": None}


def test_an_environment_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> dict[str, str]:
        raise PermissionError(13, "Permission denied", str(path))  # root, whom tests may run as, may read all

    monkeypatch.setattr(project, "dotenv_values", refuse)
    with pytest.raises(ConfigurationError, match=r"\.env cannot be read: Permission denied"):
        progress.settings({}, tmp_path)


def _sqlite(root: Path, config: str, more: str = "") -> Path:
    """A project with tap-sqlite as it is shipped, a file with two tables, and a table's own file."""
    (root / "extract").mkdir()
    (root / "data").mkdir()
    (root / "meltano.yml").write_text("default_environment: dev\nenvironments: [{name: dev}]\nproject_id: x\n"
                                      "include_paths: ['./extract/*.meltano.yml']\n")  # fmt: skip
    shutil.copy(project.root() / "extract" / "sqlite.meltano.yml", root / "extract")
    with sqlite3.connect(root / "data" / "jobs.db") as connection:
        connection.executescript('CREATE TABLE Jobs (id INTEGER PRIMARY KEY); CREATE TABLE "../a.b" (id INTEGER)')
    path = root / "extract" / "jobs.meltano.yml"
    path.write_text(f"""
plugins:
  extractors:
  - {{name: tap-sqlite-full-jobs, inherit_from: {"tap-shop" if more else "tap-sqlite"}, config: {{{config}}}}}
  {more}
jobs: [{{name: parallel-full-sync-jobs, tasks: [tap-sqlite-full-jobs target-postgres]}}]
schedules: [{{name: full-jobs-weekly, interval: 0 4 * * 0, job: parallel-full-sync-jobs}}]
""")
    return path


@pytest.mark.parametrize("prefix", ["", "own_"])
@pytest.mark.parametrize("name", ["Jobs", "../a.b"])
def test_a_table_of_sqlite_is_called_as_its_tap_and_the_target_call_it(tmp_path: Path, prefix: str, name: str) -> None:
    own = f"path: data/jobs.db, sync_mode: full, tables: ['{name}'], table_prefix: '{prefix}'"
    _sqlite(tmp_path, own)
    [table] = project.tables(tmp_path)
    config = {"path": str(tmp_path / "data" / "jobs.db"), "tables": [name], "sync_mode": "full", "table_prefix": prefix}
    [stream] = TapSqlite(config=config).discover_streams()
    assert (table.stream, table.target) == (stream.name, fold(f"{prefix}{name}"))
    assert (table.source, table.plugin) == (name, "tap-sqlite")


def test_a_prefix_of_the_environment_counts_below_a_tables_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Meltano has it: its own `meltano invoke --dump=config` says the same."""
    monkeypatch.setenv("TAP_SQLITE_TABLE_PREFIX", "env_")
    path = _sqlite(tmp_path, "sync_mode: full, tables: [jobs]")
    assert [table.target for table in project.tables(tmp_path)] == ["env_jobs"]
    assert settings_of("tap-sqlite-full-jobs", tmp_path, progress.settings({}, tmp_path))["table_prefix"] == "env_"
    path.write_text(path.read_text().replace("tables: [jobs]", "tables: [jobs], table_prefix: own_"))
    assert [table.target for table in project.tables(tmp_path)] == ["own_jobs"]
    assert settings_of("tap-sqlite-full-jobs", tmp_path, progress.settings({}, tmp_path))["table_prefix"] == "own_"


@pytest.mark.parametrize(
    ("config", "more", "configured"),
    [
        ("path: data/jobs.db, sync_mode: full, tables: [jobs]", "", True),
        ("sync_mode: full, tables: [jobs]", "- {name: tap-shop, inherit_from: tap-sqlite, config: {path: x}}", True),
        ("sync_mode: full, tables: [jobs]", "", False),
    ],
)
def test_a_source_that_the_projects_files_name_is_configured(
    tmp_path: Path, config: str, more: str, configured: bool
) -> None:
    _sqlite(tmp_path, config, more)
    [table] = project.tables(tmp_path)
    assert table.plugin == "tap-sqlite"
    assert table.configured({"TAP_MSSQL_HOST": "h"}) is configured
    (tmp_path / "extract" / "x.meltano.yml").write_text(
        "plugins: {extractors: [{name: tap-mssql-full-x, inherit_from: tap-mssql,"
        " config: {sync_mode: full, tables: [x]}}]}\n"
        "jobs: [{name: parallel-full-sync-x, tasks: [tap-mssql-full-x target-postgres]}]\n"
    )
    kept = [schedule.name for schedule in units.schedules(tmp_path, {"TAP_MSSQL_HOST": "h"})]
    assert kept == (["full-jobs-weekly"] if configured else [])


def test_the_doctor_describes_a_table_from_the_file_that_its_own_settings_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _sqlite(tmp_path, "path: data/jobs.db, sync_mode: full, tables: [jobs]")
    monkeypatch.setattr(project, "root", lambda: tmp_path)
    monkeypatch.delenv("TAP_SQLITE_PATH", raising=False)
    [found] = source.other(project.tables(), progress.settings())
    assert (found.level, found.said) == ("ok", "Jobs: described")
    path.write_text(path.read_text().replace("jobs.db", "none.db"))
    [found] = source.other(project.tables(), progress.settings())
    assert (found.level, "none.db" in found.said) == ("problem", True)


def test_how_a_table_of_sqlite_stands_is_read_from_its_own_bookmark(
    tmp_path: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _sqlite(tmp_path, "path: data/jobs.db, sync_mode: full, tables: [jobs], table_prefix: own_")
    monkeypatch.setattr(project, "root", lambda: tmp_path)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    saved = {"dev:tap-sqlite-full-jobs-to-target-postgres": {"main-own_Jobs": {"mode": "full", "done": True}}}
    monkeypatch.setattr(states, "bookmarks", lambda *_: saved)
    [standing], trouble = standings(project.tables(), project.MODES)
    assert (standing["state"], standing["would"].split(";")[0], trouble) == ("finished", "begin a new full sync", None)


@pytest.mark.parametrize(
    ("shop", "table", "environments", "env"),
    [
        ("{host: shop}", "{}", "{}", {}),
        ("{}", "{load: {nul_characters: strip}}", "{}", {}),
        ("{}", "{}", "{plugins: {extractors: [{name: tap-shop, config: {database: OTHER}}]}}", {}),
        ("{}", "{}", "{}", {"TAP_SHOP_HOST": "shop"}),
        ("{}", "{}", "{}", {"TAP_SHOP_FULL_X_PORT": "1434"}),
    ],
)
def test_a_table_whose_source_may_be_another_than_its_plugins_is_known(
    tmp_path: Path, shop: str, table: str, environments: str, env: dict[str, str]
) -> None:
    (tmp_path / "extract").mkdir()
    (tmp_path / "meltano.yml").write_text(f"environments: [{{name: prod}}, {{name: dev, config: {environments}}}]")
    (tmp_path / "extract" / "x.meltano.yml").write_text(f"""
plugins:
  extractors:
  - {{name: tap-mssql, config: {{batch_config: {{}}}}}}
  - {{name: tap-shop, inherit_from: tap-mssql, config: {shop}}}
  - {{name: tap-shop-full-x, inherit_from: tap-shop, config: {table}}}
  - {{name: tap-mssql-full-y, inherit_from: tap-mssql, config: {{tables: [dbo.y]}}}}
""")
    known = ("tap-mssql", "tap-mssql-full-y", "tap-shop-full-x")
    given = {"TAP_MSSQL_HOST": "x", "TAP_MSSQL_FULL_Y_PAGE_SIZE": "1", **env}
    assert project.with_own_settings(known, given, tmp_path) == {"tap-shop-full-x"}


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ((), {"id", "cpf", "a.b"}),
        (("*.*", "!*.cpf"), {"id", "a.b"}),
        (("!dbo-t.c*", "*.*"), {"id", "a.b"}),
        (("dbo-t.id", "dbo-other.cpf"), {"id"}),
        (("*.*", "!*.a\\.b"), {"id", "cpf"}),
    ],
)
def test_columns_are_selected_as_meltano_selects_them(select: tuple[str, ...], expected: set[str]) -> None:
    assert {name for name in ("id", "cpf", "a.b") if project.selected(select, "dbo-t", name)} == expected


def test_a_table_has_the_select_of_its_extractor_or_of_what_that_inherits_from(tmp_path: Path) -> None:
    _sqlite(tmp_path, "sync_mode: full, tables: [jobs]")
    [table] = project.tables(tmp_path)
    assert table.select == ()
    for file in (tmp_path / "extract").glob("*.yml"):
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("    config:", '    select: ["*.*", "!*.cpf"]\n    config:'), encoding="utf-8")
    [table] = project.tables(tmp_path)
    assert table.select == ("*.*", "!*.cpf")
