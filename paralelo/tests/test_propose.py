"""What is proposed for a table, and the file that is written for it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meltano.core.utils import expand_env_vars
from ruamel.yaml import YAML
from sync_rules.exits import ConfigurationError
from tap_mssql.discovery import Index, TableDescription, TableName
from tap_mssql.sql_types import SqlColumn

from paralelo import other_sources, project, table_files, units
from paralelo.cli import add_table
from paralelo.doctor import source
from paralelo.propose import Looked, Proposal, propose, slug


def _column(name: str, base: str = "int", *, nullable: bool = False, **more: object) -> SqlColumn:
    lengths = {"nvarchar": 80, "varchar": 40, "int": 4}
    return replace(SqlColumn(name, base, lengths.get(base, 8), 19, 7, nullable), **more)  # type: ignore[arg-type]


def _looked(*columns: SqlColumn, key: tuple[str, ...] = ("id",), leading: frozenset[str] = frozenset()) -> Looked:
    indexes = (Index(key, primary=True, nullable=False),) if key else ()
    return Looked(TableDescription(TableName("dbo", "Clientes"), False, columns, indexes, 12), leading, 8_192)


def test_no_password_goes_over_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """SPEC O2: what looks at an entity asks no less of the address than what copies it."""
    given = {
        "TAP_ORACLE_WMS_BASE_URL": "http://192.0.2.2/demo",
        "TAP_ORACLE_WMS_USERNAME": "u",
        "TAP_ORACLE_WMS_PASSWORD": "p",
    }
    monkeypatch.setattr(other_sources.progress, "settings", lambda: given)
    with pytest.raises(ConfigurationError, match="https://"):
        other_sources.proposals("oracle-wms", ["allocation"], "*")


def test_key_and_cursor_are_found() -> None:
    found = propose(_looked(_column("id"), _column("mod_ts", "datetime2"), leading=frozenset({"id", "mod_ts"})))
    assert (found.key, found.cursor, found.modes) == (("id",), "mod_ts", ("full", "incremental"))
    assert (found.source, found.target, found.name) == ("dbo.Clientes", "clientes", "clientes")
    assert not any("index" in note for note in found.notes)
    assert any("mod_ts loses its seventh digit" in note for note in found.notes)


@pytest.mark.parametrize("name", ["data_atualizacao", "DataAlteração", "updated_at", "LastModified", "dt_modificacao"])
def test_a_cursor_is_found_by_what_it_is_called_and_said_to_be(name: str) -> None:
    found = propose(_looked(_column("id"), _column("created_at", "datetime"), _column(name, "datetime")))
    assert found.cursor == name
    assert any("by its name" in note for note in found.notes)
    assert any("scans the table" in note for note in found.notes)


@pytest.mark.parametrize(
    "column",
    [_column("updated_by", "datetime"), _column("mod_ts", "nvarchar"), _column("created_at", "datetime")],
    ids=lambda column: column.name,
)
def test_what_does_not_tell_when_a_row_changed_is_no_cursor(column: SqlColumn) -> None:
    found = propose(_looked(_column("id"), column))
    assert (found.cursor, found.modes) == (None, ("full",))
    assert any("full syncs only" in note for note in found.notes)


def test_the_row_version_comes_before_a_name() -> None:
    found = propose(_looked(_column("id"), _column("updated_at", "datetime"), _column("rv", "timestamp")))
    assert found.cursor == "rv"


def test_without_a_key_there_is_a_full_sync_alone() -> None:
    found = propose(_looked(_column("a"), _column("mod_ts", "datetime2"), key=()))
    assert (found.key, found.cursor, found.modes) == ((), None, ("full",))
    assert any("cannot be resumed" in note for note in found.notes)


def test_a_key_that_cannot_be_ordered_gives_way_to_another_index() -> None:
    table = _looked(_column("node", "hierarchyid"), _column("code"), key=("node",)).description
    other = replace(table, indexes=(*table.indexes, Index(("code",), primary=False, nullable=False)))
    assert propose(Looked(other)).key == ("code",)
    assert "cannot be a key" in propose(Looked(table)).problem


def test_names_that_fold_to_one_are_refused() -> None:
    assert "'ID' and 'id'" in propose(_looked(_column("ID"), _column("id"))).problem


def test_what_surprises_a_reader_is_said() -> None:
    text = _column("code", "nvarchar", collation="Latin1_General_CI_AS")
    large = _column("obs", "nvarchar", max_length=-1, nullable=True)
    moment = _column("updated_at", "datetime", nullable=True)
    notes = " ".join(propose(_looked(text, large, moment, key=("code",))).notes)
    for said in ("key code is text", "obs nvarchar(max)", "is NULL reach no incremental", "mind case or accents"):
        assert said in notes


def test_the_operators_choice_is_checked() -> None:
    table = _looked(_column("id"), _column("changed", "datetime"), _column("name", "nvarchar"))
    assert propose(table, key=["name"], cursor="changed").key == ("name",)
    with pytest.raises(ConfigurationError, match="cursor_column names nothing"):
        propose(table, cursor="nothing")
    with pytest.raises(ConfigurationError, match="cannot be a cursor"):
        propose(table, cursor="name")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\\\ufeff"), min_size=1))
def test_a_name_reaches_the_tap_as_it_is(name: str) -> None:
    """Through YAML and Meltano's expansion of variables."""
    read = YAML(typ="safe").load(f"tables: [{table_files.scalar(name)}]")["tables"][0]
    assert expand_env_vars(read, {}) == name
    assert project.unescaped(read) == name


@given(st.text(st.characters(exclude_characters=".[]\0", exclude_categories=["Cs"]), min_size=1), st.text(min_size=1))
def test_a_setting_names_its_table(schema: str, table: str) -> None:
    name = TableName(schema, table)
    assert TableName.parse(name.setting) == name


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "extract").mkdir()
    (tmp_path / "extract" / "mssql.meltano.yml").write_text("plugins: {}\n")
    return tmp_path


def _proposal(table: str = "clientes", schema: str = "dbo") -> Proposal:
    return Proposal(f"{schema}.{table}", table.lower(), slug(table), "tap-mssql", ("id",), "mod_ts")


def test_the_file_is_what_the_project_reads(root: Path) -> None:
    made = table_files.draft(_proposal(), root)
    table_files.write(made)
    [table] = project.tables(root)
    assert (table.name, table.source, table.target, table.stream) == (
        "clientes", "dbo.clientes", "clientes", "dbo-clientes",
    )  # fmt: skip
    assert table.jobs == {
        "full": "parallel-full-sync-clientes",
        "incremental": "parallel-incremental-sync-clientes",
    }
    assert (table.key_columns, table.cursor_column) == (("id",), "mod_ts")
    assert table_files.draft(_proposal(), root).same


def test_a_name_that_no_job_can_have_keeps_no_other_table_out(root: Path) -> None:
    """Its file is written by hand, and the plan of such a table is made as of any other."""
    nameless = replace(_looked(_column("id")).description, name=TableName("dbo", "日本"))
    proposal = propose(Looked(nameless), key=["id"])
    assert (proposal.key, proposal.problem) == (("id",), "")
    with pytest.raises(ConfigurationError, match="write its file by hand"):
        table_files.draft(proposal, root)
    named = table_files.draft(replace(proposal, name="japan"), root)
    table_files.write(named)
    assert table_files.draft(proposal, root).same


def test_the_file_has_the_shape_of_those_that_are_there() -> None:
    there = (project.root() / "extract" / "bi_credores.meltano.yml").read_text(encoding="utf-8")
    assert table_files.content(_proposal("bi_credores"), "0 2 * * 0", "*/15 * * * *") == there


def test_a_schedule_that_was_changed_stays(root: Path) -> None:
    made = table_files.draft(_proposal(), root)
    made.path.write_text(made.text.replace("*/15 * * * *", "*/5 * * * *").replace("0 2 * * 0", "0 4 1 * *"))
    assert table_files.draft(_proposal(), root).same
    other = table_files.draft(replace(_proposal(), cursor="other"), root)
    assert not other.same
    assert "-      cursor_column: mod_ts\n+      cursor_column: other\n" in other.diff()


def test_full_syncs_begin_at_hours_of_their_own(root: Path) -> None:
    for name in ("a", "b", "c"):
        table_files.write(table_files.draft(_proposal(name), root))
    texts = [path.read_text() for path in (root / "extract").glob("?.meltano.yml")]
    assert len({text.partition("-weekly\n")[2].splitlines()[0] for text in texts}) == 3


def test_incremental_syncs_begin_at_minutes_of_their_own(root: Path) -> None:
    """Thirty tables that all began at the quarter would be thirty Meltanos, taps and targets in one second."""
    for number in range(30):
        table_files.write(table_files.draft(_proposal(f"t{number}"), root))
    begun: Counter[str] = Counter()
    for path in (root / "extract").glob("t*.meltano.yml"):
        [often] = re.findall(r"every-15-minutes\n  interval: (.+)", path.read_text())
        [calendar] = units.calendars(often.strip("'"))
        begun[calendar] += 1
    assert len(begun) == 15
    assert set(begun.values()) == {2}


def test_a_file_that_cannot_be_written_leaves_nothing_unfinished(root: Path) -> None:
    made = table_files.draft(_proposal("a"), root)
    made.path.mkdir()
    with pytest.raises(ConfigurationError, match=r"extract/a\.meltano\.yml cannot be written"):
        table_files.write(made)
    assert not list(made.path.parent.glob(".*"))


def test_no_table_takes_anothers_place(root: Path) -> None:
    table_files.write(table_files.draft(_proposal(), root))
    with pytest.raises(ConfigurationError, match="cannot share"):
        table_files.draft(_proposal(schema="vendas"), root)
    with pytest.raises(ConfigurationError, match="cannot share"):
        table_files.draft(_proposal("a b"), root, taken=[_proposal("a_b")])
    assert table_files.draft(_proposal("mssql"), root).path.name == "mssql.table.meltano.yml"


@pytest.mark.parametrize(
    ("plugin", "source"),
    [("tap-mssql", "dbo.bi_credores"), ("tap-mssql", "dbo.resumo_faixas"), ("tap-oracle-wms", "allocation"),
     ("tap-oracle-wms", "order_hdr"), ("tap-oracle-wms", "order_dtl")],
)  # fmt: skip
def test_the_projects_own_files_are_as_they_are_written_for_any_table(plugin: str, source: str) -> None:
    """Asked for a table that is there, `add_table.py` finds nothing to say of its file."""
    target = source.removeprefix("dbo.")
    proposal = Proposal(source, target, slug(target), plugin, ("id",), "mod_ts")
    text = (project.root() / "extract" / f"{target}.meltano.yml").read_text(encoding="utf-8")
    weekly = re.search(r"weekly\n  interval: (.*)", text)
    assert weekly is not None
    assert table_files.content(proposal, weekly[1], "*/15 * * * *") == text


def test_what_is_not_known_of_a_table_is_left_out() -> None:
    columns = propose(_looked(_column("id"))).columns
    assert add_table._measure(Proposal("allocation", "allocation", "allocation", "tap-oracle-wms")) == "columns unknown"
    known = Proposal("allocation", "allocation", "allocation", "tap-oracle-wms", rows=1, columns=columns)
    assert add_table._measure(known) == "1 row, 1 column"


def test_an_index_that_the_doctor_asks_for_can_be_made_whatever_the_columns_are_called() -> None:
    looked = _looked(_column("select"), _column("Código Único"), key=("select", "Código Único"))
    [table] = [table for table in project.tables() if table.name == "bi-credores"]
    fixes = [one.fix for one in source._indexes("a table", table, looked, ("select", "Código Único"), "quando foi")]
    assert fixes == [
        "CREATE UNIQUE INDEX ... ON [dbo].[Clientes] ([select], [Código Único])",
        "CREATE INDEX ... ON [dbo].[Clientes] ([quando foi], [select], [Código Único])",
    ]
