"""What discovery finds, and what it does without where a server does not tell (SPEC O2)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from sync_rules.exits import ConfigurationError, SyncError
from tap_mssql import hidden
from tap_mssql.client import connect
from tap_mssql.discovery import Index, TableDescription, TableName, describe, named
from tap_mssql.sql_types import SqlColumn
from tap_mssql.tap import TapMssql


class Guarded:
    """A real connection to a server that refuses some catalog views."""

    def __init__(self, inner: Any, *refused: str) -> None:
        self._inner, self._refused = inner, refused

    def rows(self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog") -> list[tuple[Any, ...]]:
        if any(view in sql for view in self._refused):
            raise SyncError(f"{table}: the server refused a query")
        found: list[tuple[Any, ...]] = self._inner.rows(sql, values, table=table)
        return found


class Instead(Guarded):
    """One in which other words of a query hold."""

    def __init__(self, inner: Any, words: str, others: str) -> None:
        super().__init__(inner)
        self._words, self._others = words, others

    def rows(self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog") -> list[tuple[Any, ...]]:
        return super().rows(sql.replace(self._words, self._others), values, table=table)


class Curt(Guarded):
    """One that has the standard's views alone, tells no length, and writes types out."""

    def rows(self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog") -> list[tuple[Any, ...]]:
        sql = sql.replace("c.CHARACTER_OCTET_LENGTH", "NULL").replace("c.DATA_TYPE", "(UPPER(c.DATA_TYPE) + '(9)')")
        return super().rows(sql, values, table=table)


class Wordy(Guarded):
    """One that has the standard's views alone, its names of types, and a number for a length without a bound."""

    def rows(self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog") -> list[tuple[Any, ...]]:
        names = {"int": "INTEGER", "float": "double precision", "varchar": "character varying", "bit": "boolean"}
        cases = " ".join(f"WHEN '{own}' THEN '{other}'" for own, other in names.items())
        sql = sql.replace("c.DATA_TYPE", f"(CASE c.DATA_TYPE {cases} ELSE c.DATA_TYPE END)")
        sql = sql.replace(
            "c.CHARACTER_OCTET_LENGTH",
            "(CASE c.CHARACTER_OCTET_LENGTH WHEN -1 THEN 9000 ELSE c.CHARACTER_OCTET_LENGTH END)",
        )
        return super().rows(sql, values, table=table)


class Showy(Guarded):
    """One that has SQL Server's own views, in which nothing stands; the standard's list other databases, too."""

    def rows(self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog") -> list[tuple[Any, ...]]:
        if "sys." in sql:
            return []
        return [row for row in super().rows(sql, values, table=table) for _ in range(2)]


@pytest.mark.parametrize(
    ("refused", "key", "counted"),
    [
        (("sys.indexes",), ("code",), True),
        (("sys.indexes", "KEY_COLUMN_USAGE"), (), True),
        (("sys.partitions",), ("code",), False),
    ],
)
def test_a_view_that_is_refused_costs_what_it_tells(
    source: Any, table: Any, refused: tuple[str, ...], key: tuple[str, ...], counted: bool
) -> None:
    table("dbo.guarded", "code int NOT NULL PRIMARY KEY, v AS (code + 1), w int SPARSE NULL", "(1, 2)")
    opened = connect(TapMssql(config=source.config).config, logging.getLogger())
    try:
        found = describe(Guarded(opened, *refused), [TableName("dbo", "guarded")])[0]
    finally:
        opened.close()
    assert [column.name for column in found.columns] == ["code", "v", "w"]
    assert (found.natural_key, found.rows is not None) == (key, counted)


@pytest.mark.parametrize("kind", ["has_filter", "is_disabled", "is_hypothetical"])
def test_an_index_that_keeps_some_rows_unique_or_none_is_no_key(source: Any, table: Any, kind: str) -> None:
    """Rows that it does not know would be skipped, or doubled."""
    table("dbo.kept", "code int NOT NULL UNIQUE", "(1)")
    opened = connect(TapMssql(config=source.config).config, logging.getLogger())
    try:
        usual = describe(opened, [TableName("dbo", "kept")])[0]
        other = describe(Instead(opened, f"i.{kind} = 0", "1 = 0"), [TableName("dbo", "kept")])[0]
    finally:
        opened.close()
    assert (usual.natural_key, usual.is_unique(["code"])) == (("code",), True)
    assert (other.natural_key, other.is_unique(["code"])) == ((), False)


def test_only_what_an_index_keeps_unique_is_its_key(source: Any, table: Any) -> None:
    """Columns that it merely includes are not, and neither are those of an index that is not unique."""
    table("dbo.indexed", "a int NOT NULL, b int NOT NULL, c int NOT NULL", "(1, 1, 1)")
    source.execute(
        "CREATE INDEX by_c ON dbo.indexed (c)", "CREATE UNIQUE INDEX by_pair ON dbo.indexed (b, a) INCLUDE (c)"
    )
    opened = connect(TapMssql(config=source.config).config, logging.getLogger())
    try:
        found = describe(opened, [TableName("dbo", "indexed")])[0]
    finally:
        opened.close()
    assert [index.columns for index in found.indexes] == [("b", "a")]


def test_more_names_than_a_statement_has_parameters(source: Any, table: Any) -> None:
    table("dbo.one_of_many", "id int NOT NULL PRIMARY KEY", "(1)")
    one = TableName("dbo", "one_of_many")
    assert len(named([one] * 1_000, ())[1]) <= 2_100
    assert named([one] * 1_001, ()) == ("", [])
    opened = connect(TapMssql(config=source.config).config, logging.getLogger())
    try:
        found = describe(opened, [one] * 1_001)
        assert found == describe(opened, [one])
        with pytest.raises(ConfigurationError, match=r"dbo\.none: no such table"):
            describe(opened, [*[one] * 1_000, TableName("dbo", "none")])
    finally:
        opened.close()
    assert [description.name for description in found] == [one]


NUMBERS = tuple(SqlColumn(name, "int", 4, 10, 0, nullable=name == "n") for name in ("id", "a", "b", "n"))


@pytest.mark.parametrize(
    ("indexes", "key"),
    [
        ([Index(("a",), False, False), Index(("a", "b"), True, False)], ("a", "b")),
        ([Index(("a", "b"), False, False), Index(("b",), False, False)], ("b",)),
        ([Index(("n",), False, True), Index(("a", "b"), False, False)], ("a", "b")),
        ([Index(("n",), False, True)], ("id",)),
        ([], ("id",)),
    ],
)
def test_the_key_is_the_primary_one_else_the_shortest_without_nulls_else_id(
    indexes: list[Index], key: tuple[str, ...]
) -> None:
    assert TableDescription(TableName("dbo", "t"), False, NUMBERS, tuple(indexes)).natural_key == key


@pytest.mark.parametrize(
    ("key", "unique"),
    [(("a", "b"), True), (("a", "b", "id"), True), (("a",), False), (("n",), False), (("id",), False)],
)
def test_a_key_is_unique_where_an_index_sees_to_part_of_it(key: tuple[str, ...], unique: bool) -> None:
    """SPEC F8. SQL Server lets one row be NULL in a unique index, and a page would never bring it."""
    indexes = (Index(("a", "b"), True, False), Index(("n",), False, True), Index(("id",), False, False, enforced=False))
    assert TableDescription(TableName("dbo", "t"), False, NUMBERS, indexes).is_unique(key) is unique


def test_a_server_without_sql_servers_own_views_is_asked_by_the_standards(source: Any, table: Any) -> None:
    columns = (
        "b int NOT NULL, a varchar(9) COLLATE Latin1_General_BIN2 NOT NULL, n nvarchar(7), c char(3), m varchar(max),"
        " u uniqueidentifier NOT NULL UNIQUE, d decimal(38, 2), f float, r real, x bit, t time(4), o datetimeoffset(7),"
        " y date, s smalldatetime, e datetime, z datetime2(3), k money, v varbinary(5), w varbinary(max), h rowversion,"
        " l xml, q text, PRIMARY KEY (b, a)"
    )
    table("dbo.[plain.one]", columns)
    source.execute("CREATE VIEW dbo.seen_by_standard AS SELECT b, a FROM dbo.[plain.one]")
    wanted = [TableName("dbo", "plain.one"), TableName("dbo", "seen_by_standard")]
    opened = connect(TapMssql(config=source.config).config, logging.getLogger())
    try:
        usual, other = describe(opened, wanted), describe(Guarded(opened, "sys."), wanted)
        of_schema = describe(Guarded(opened, "sys."), schemas=["dbo"])
        showy = describe(Showy(opened), wanted)
        with pytest.raises(ConfigurationError, match="no such table"):
            describe(Showy(opened), [TableName("dbo", "nowhere")])
        with pytest.raises(ConfigurationError, match="no such table"):
            describe(Showy(opened, "INFORMATION_SCHEMA"), wanted)
    finally:
        opened.close()
        source.execute("DROP VIEW dbo.seen_by_standard")
    assert showy == other
    for one, same in zip(usual, other, strict=True):
        assert (one.name, one.is_view, one.natural_key) == (same.name, same.is_view, same.natural_key)
        assert [(c.name, c.declared, c.type, c.nullable, c.collation) for c in one.columns] == [
            (c.name, c.declared, c.type, c.nullable, c.collation) for c in same.columns
        ]
        assert [(i.columns, i.primary, i.nullable) for i in one.indexes] == [
            (i.columns, i.primary, i.nullable) for i in same.indexes
        ]
    assert set(wanted) <= {one.name for one in of_schema}


def test_hundreds_of_tables_and_views_in_one_catalog(source: Any) -> None:
    source.execute("CREATE SCHEMA many")
    names = [f"t{number:03}" for number in range(200)]
    source.execute(*[f"CREATE TABLE many.{name} (id int NOT NULL PRIMARY KEY, a varchar(9))" for name in names])
    source.execute("CREATE VIEW many.seen AS SELECT id, a FROM many.t000")
    try:
        catalog = TapMssql(config={**source.config, "schemas": ["many"]}).catalog_dict
    finally:
        source.execute("DROP VIEW many.seen", *[f"DROP TABLE many.{name}" for name in names], "DROP SCHEMA many")
    streams = {entry["table_name"]: entry for entry in catalog["streams"]}
    assert sorted(streams) == sorted([*names, "seen"])
    assert all(streams[name]["key_properties"] == ["id"] for name in names)
    assert streams["seen"]["is_view"]


def test_the_inner_columns_of_a_graph_table_are_left_out(source: Any, table: Any) -> None:
    """The catalog lists them, and SQL Server lets no query name them."""
    ending = "0123456789ABCDEF0123456789ABCDEF"
    table(
        "dbo.graph",
        f"[$node_id_{ending}] nvarchar(1000) NULL, graph_id_{ending} bigint NOT NULL PRIMARY KEY, id int NOT NULL,"
        " graph_id_1 int NULL",
    )
    opened = connect(TapMssql(config=source.config).config, logging.getLogger())
    try:
        found = describe(opened, [TableName("dbo", "graph")])[0]
    finally:
        opened.close()
    assert [column.name for column in found.columns] == [f"$node_id_{ending}", "id", "graph_id_1"]
    assert found.natural_key == ("id",), "an index on a column that cannot be read is no key"


def test_what_was_dropped_from_a_ledger_is_left_out(source: Any, table: Any) -> None:
    """It stays for the ledger's proofs under another name: whoever dropped it wants no copy of it."""
    ending = "0123456789ABCDEF0123456789ABCDEF"
    table("dbo.ledger", f"id int NOT NULL PRIMARY KEY, [MSSQL_DroppedLedgerColumn_cpf_{ending}] varchar(11)")
    table(f"dbo.MSSQL_DroppedLedgerTable_ledger_{ending}", "id int NOT NULL PRIMARY KEY")
    opened = connect(TapMssql(config=source.config).config, logging.getLogger())
    try:
        found = describe(opened)
    finally:
        opened.close()
    assert [[column.name for column in one.columns] for one in found if "ledger" in one.name.table] == [["id"]]


class Promising(Guarded):
    """A real connection to a server that says it is Azure Synapse."""

    def rows(self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog") -> list[tuple[Any, ...]]:
        return super().rows(sql.replace("SERVERPROPERTY('EngineEdition')", "6"), values, table=table)


def test_a_key_that_the_server_does_not_enforce_is_unproven(source: Any, table: Any) -> None:
    """Synapse and Fabric take PRIMARY KEY ... NOT ENFORCED, and rows that repeat it."""
    table("dbo.promised", "code int NOT NULL PRIMARY KEY", "(1)")
    opened = connect(TapMssql(config=source.config).config, logging.getLogger())
    try:
        kept = describe(opened, [TableName("dbo", "promised")])[0]
        promised = describe(Promising(opened, "nothing"), [TableName("dbo", "promised")])[0]
    finally:
        opened.close()
    assert (kept.natural_key, kept.is_unique(["code"])) == (("code",), True)
    assert (promised.natural_key, promised.is_unique(["code"])) == (("code",), False)


class Hiding:
    """A server that masks and filters, which the sandbox does not: what SQL Server answers to the questions asked."""

    def __init__(self, unmask: tuple[int | None, ...], policies: Sequence[str] = ()) -> None:
        self._unmask, self._policies = unmask, policies

    def rows(self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog") -> list[tuple[Any, ...]]:
        del table
        if "IsView" in sql:
            return []
        if "is_masked" in sql:
            return [("CPF",)]
        if "HAS_PERMS_BY_NAME" in sql:  # of a column it takes the plain name: one in brackets is none
            return [self._unmask if values[-1] == "CPF" else (*self._unmask[:2], None)]
        return [(name,) for name in self._policies]


@pytest.mark.parametrize("unmask", [(0, None, None), (0, 0, 0), (None, None, None)])
def test_a_masked_column_is_refused(unmask: tuple[int | None, ...]) -> None:
    """A mask would replace a value that was copied before, and no comparison by the same login would see it."""
    server: Any = Hiding(unmask)
    with pytest.raises(ConfigurationError, match=r"dbo\.t: .* masks instead of the values of CPF: grant it UNMASK"):
        hidden.check(server, TableName("dbo", "t"), ["id", "CPF"], logging.getLogger())
    hidden.check(server, TableName("dbo", "t"), ["id"], logging.getLogger())


@pytest.mark.parametrize("unmask", [(1, None, None), (0, 1, None), (0, 0, 1)])
def test_a_login_that_may_unmask_reads_it(unmask: tuple[int | None, ...], caplog: pytest.LogCaptureFixture) -> None:
    server: Any = Hiding(unmask, ["by_region"])
    hidden.check(server, TableName("dbo", "t"), ["id", "CPF"], logging.getLogger())
    assert "the security policy by_region filters its rows" in caplog.text


@pytest.mark.parametrize("unmask", [0, 1])
def test_a_view_that_may_read_what_is_masked_is_told(caplog: pytest.LogCaptureFixture, unmask: int) -> None:
    """Its columns are not listed as masked."""
    answers = {"IsView": [("dbo", "people", "CPF")], "HAS_PERMS_BY_NAME": [(unmask, None, None)]}

    class Viewing:
        def rows(self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog") -> list[tuple[Any, ...]]:
            del values, table
            return next((answer for words, answer in answers.items() if words in sql), [])

    server: Any = Viewing()
    hidden.check(server, TableName("dbo", "v"), ["id"], logging.getLogger())
    assert ("dbo.v: masks are copied instead of values where this view reads dbo.people.CPF" in caplog.text) == (
        not unmask
    )


@pytest.mark.parametrize(("hint", "told"), [(" WITH (NoLock)", True), ("", False)])
def test_a_view_that_reads_what_is_not_committed_is_told(
    source: Any, table: Any, caplog: pytest.LogCaptureFixture, hint: str, told: bool
) -> None:
    """Its own hint has the last word, whatever isolation is set."""
    table("dbo.dirty", "id int NOT NULL PRIMARY KEY")
    source.execute("DROP VIEW IF EXISTS dbo.hasty", f"CREATE VIEW dbo.hasty AS SELECT id FROM dbo.dirty{hint}")
    opened = connect(TapMssql(config=source.config).config, logging.getLogger())
    try:
        hidden.check(opened, TableName("dbo", "hasty"), ["id"], logging.getLogger())
        hidden.check(opened, TableName("dbo", "dirty"), ["id"], logging.getLogger())
    finally:
        opened.close()
        source.execute("DROP VIEW dbo.hasty")
    assert ("dbo.hasty: its definition says NOLOCK" in caplog.text) == told
    assert "dbo.dirty: " not in caplog.text


class Keeping:
    """A server with a masked, a computed and an encrypted column, as its catalog lists them."""

    def __init__(self, masked: str = "") -> None:
        self._masked = masked

    def rows(self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog") -> list[tuple[Any, ...]]:
        del values, table
        if "IsView" in sql:
            return []
        kinds = {"is_masked": self._masked, "is_computed": "initials", "encryption_type": "salary"}
        return [(name,) for kind, name in kinds.items() if kind in sql and name]


def test_a_column_computed_from_what_is_masked_is_refused() -> None:
    """SQL Server masks what it computes from a masked column, and lists it as any other."""
    server: Any = Keeping("name")
    with pytest.raises(ConfigurationError, match=r"dbo\.t: initials may be computed from masks, .* gets of name"):
        hidden.check(server, TableName("dbo", "t"), ["id", "initials"], logging.getLogger())
    server = Keeping()
    hidden.check(server, TableName("dbo", "t"), ["id", "initials"], logging.getLogger())


def test_an_encrypted_column_is_refused() -> None:
    """The driver would hand over cipher text as the value."""
    server: Any = Keeping()
    with pytest.raises(ConfigurationError, match=r"dbo\.t: Always Encrypted keeps the values of salary"):
        hidden.check(server, TableName("dbo", "t"), ["id", "salary"], logging.getLogger())
    hidden.check(server, TableName("dbo", "t"), ["id"], logging.getLogger())


def test_a_server_that_tells_no_length_is_taken_to_set_no_bound(source: Any, table: Any) -> None:
    table("dbo.curt", "a varchar(9) NOT NULL PRIMARY KEY, b nchar(3), c varbinary(7), d decimal(9, 2), e int")
    opened = connect(TapMssql(config=source.config).config, logging.getLogger())
    try:
        found = describe(Curt(opened, "sys."), [TableName("dbo", "curt")])[0]
    finally:
        opened.close()
    declared = ["varchar(max)", "nchar(max)", "varbinary(max)", "decimal(9,2)", "int"]
    assert [column.declared for column in found.columns] == declared


def test_a_column_that_is_listed_twice_and_otherwise_is_refused(source: Any, table: Any) -> None:
    """Some servers list what other databases have, too: which of the two is meant cannot be told."""
    table("dbo.twice", "id int NOT NULL PRIMARY KEY", "(1)")

    class Elsewhere(Guarded):
        def rows(self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog") -> list[tuple[Any, ...]]:
            found = super().rows(sql, values, table=table)
            return [row for one in found for row in (one, (*one[:4], "bigint", *one[5:]))]

    opened = connect(TapMssql(config=source.config).config, logging.getLogger())
    try:
        with pytest.raises(ConfigurationError, match="lists its column id twice"):
            describe(Elsewhere(opened, "sys.objects"), [TableName("dbo", "twice")])
    finally:
        opened.close()


def test_the_standards_own_words_are_understood(source: Any, table: Any) -> None:
    columns = "a varchar(9) NOT NULL PRIMARY KEY, b varchar(max), c text, d bit, e int, f float"
    table("dbo.wordy", columns)
    opened = connect(TapMssql(config=source.config).config, logging.getLogger())
    try:
        usual = describe(opened, [TableName("dbo", "wordy")])[0]
        found = describe(Wordy(opened, "sys."), [TableName("dbo", "wordy")])[0]
    finally:
        opened.close()
    assert [(c.declared, c.type) for c in found.columns] == [(c.declared, c.type) for c in usual.columns]
    assert max(column.max_length for column in found.columns) == 9, "a fetch has room for each declared length"


def test_a_server_that_has_tables_and_no_objects(source: Any, table: Any) -> None:
    table("dbo.by_tables", "code int NOT NULL PRIMARY KEY, a varchar(9), b decimal(9, 2)")
    opened = connect(TapMssql(config=source.config).config, logging.getLogger())
    try:
        usual = describe(opened, [TableName("dbo", "by_tables")])[0]
        found = describe(Guarded(opened, "sys.objects", "INFORMATION_SCHEMA"), [TableName("dbo", "by_tables")])[0]
        with pytest.raises(SyncError, match="the server refused a query"):
            describe(Guarded(opened, "sys.", "INFORMATION_SCHEMA"), [TableName("dbo", "by_tables")])
    finally:
        opened.close()
    assert (found.columns, found.indexes) == (usual.columns, usual.indexes)
