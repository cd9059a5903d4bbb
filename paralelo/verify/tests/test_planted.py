"""Differences of every kind, planted in a table of every type, and found: exactly those."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest
import sqlglot
from sync_rules.column_types import ColumnType

from paralelo.verify import measures, statements
from paralelo.verify.columns import Column, TablePair
from paralelo.verify.pairing import Wanted
from paralelo.verify.postgres import Postgres
from paralelo.verify.report import TableReport
from paralelo.verify.segments import KeyRange, TableSegment
from paralelo.verify.table import Options, verify_table
from paralelo.verify.tests.conftest import Pair

SEED_ROWS = 50
# PARALELO_VERIFY_DOUBLINGS=15 makes 1,638,400 rows of it.
ROWS = SEED_ROWS * 2 ** int(os.environ.get("PARALELO_VERIFY_DOUBLINGS", "3"))
MIDDLE = ROWS // 2
EXTRA = ROWS + 5000

TABLE = """CREATE TABLE dbo.tipos (
  id bigint NOT NULL PRIMARY KEY, tiny tinyint, small smallint, whole int, large bigint,
  wide decimal(38,2), narrow decimal(18,4), cash money, dbl float, sgl real,
  memo nvarchar(max), code varchar(20), wtext nvarchar(20), padded nchar(6), raw varbinary(16),
  day date, clock time(7), clock3 time(3), moment datetime2(7), moment3 datetime2(3), old datetime, short smalldatetime,
  ident uniqueidentifier, flag bit, mod_ts datetime2(7) NOT NULL)"""

# (column, how PostgreSQL makes the smallest change of it, whether a quick check sees it)
CHANGES = [
    ("tiny", "tiny + 1", True),
    ("small", "small - 1", True),
    ("whole", "whole + 1", True),
    ("large", "large + 1", True),
    ("wide", "wide + 0.01", True),
    ("narrow", "narrow - 0.0001", True),
    ("cash", "cash + 0.0001", True),
    ("dbl", "1.2500000000000002", True),
    ("sgl", "1.2500001", True),
    ("memo", "upper(memo)", False),
    ("code", "reverse(code)", False),
    ("code", "code || ' '", True),
    ("code", "''", True),
    ("wtext", "NULL", True),
    ("wtext", "replace(wtext, '\u00e9', 'e')", False),
    ("padded", "'xy'", False),
    ("raw", "set_bit(raw, 0, 1 - get_bit(raw, 0))", False),
    ("day", "day + 1", True),
    ("clock", "clock + interval '1 microsecond'", True),
    ("clock3", "clock3 + interval '1 millisecond'", True),
    ("moment", "moment - interval '1 microsecond'", True),
    ("moment3", "moment3 + interval '1 millisecond'", True),
    ("old", "old + interval '1 millisecond'", True),
    ("short", "short + interval '1 minute'", True),
    ("ident", "overlay(ident::text placing '7' from 36)::uuid", True),
    ("flag", "NOT flag", True),
    ("mod_ts", "mod_ts + interval '1 microsecond'", True),
]
FIRST_CHANGED = 20
LATER = (10, 11, 12)
"""Rows of a later cursor, as are those that the doubling makes of them."""


def row(number: int) -> str:
    return (
        f"({number}, {number % 200}, {number}, {-number}, {number * 10**12},"
        f" CAST('{'9' * 33 if number % 2 else ''}{number:03}.01' AS decimal(38,2)), {number}.5, {number}.25,"
        " 1.25, 1.25,"
        f" N'texto número {number}', 'ab{number}', N'caf\u00e9 {number}', N'ab', 0x0102{number % 256:02X},"
        f" '2024-02-{number % 29 + 1:02}', '12:34:56.1234567', '12:34:56.123', '2024-02-29T12:34:56.1234567',"
        f" '1900-01-01T00:00:00.001', '2024-02-29T12:34:56.120', '2024-02-29T12:34:00',"
        f" '0E984725-C51C-4BF4-9960-E1C80E27{number:04}', {number % 2},"
        f" '{'2024-06-01' if number in LATER else '2024-03-01'}T00:00:00.1234567')"
    )


@pytest.fixture(scope="module")
def faithful(pair: Pair) -> Pair:
    """The table and a faithful copy of it: the first rows value by value, then each side doubled by itself."""
    pair.t_sql("DROP TABLE IF EXISTS dbo.tipos", TABLE)
    pair.t_sql("INSERT INTO dbo.tipos VALUES " + ", ".join(row(n) for n in range(1, SEED_ROWS + 1)))
    pair.copy("tipos", "id")
    others = TABLE.partition("PRIMARY KEY, ")[2].rpartition(")")[0].split(",\n")
    names = ", ".join(piece.split()[0] for line in others for piece in line.split(", "))
    rows = SEED_ROWS
    while rows < ROWS:
        pair.t_sql(f"INSERT INTO dbo.tipos SELECT id + {rows}, {names} FROM dbo.tipos")
        pair.sql(f"INSERT INTO tipos (id, {names}) SELECT id + {rows}, {names} FROM tipos")
        rows *= 2
    last = f"(id, mod_ts) VALUES ({ROWS + 1}, '2024-03-01')"
    pair.t_sql(f"INSERT INTO dbo.tipos {last}")
    pair.sql(
        f"INSERT INTO tipos {last}", "DROP TABLE IF EXISTS tipos_faithful", "ALTER TABLE tipos RENAME TO tipos_faithful"
    )
    return pair


@pytest.fixture
def planted(faithful: Pair) -> Pair:
    """The copy afresh, for a test to plant its differences in. At the source no test changes anything."""
    faithful.sql(
        "DROP TABLE IF EXISTS tipos",
        "CREATE TABLE tipos (LIKE tipos_faithful INCLUDING ALL)",
        "INSERT INTO tipos SELECT * FROM tipos_faithful",
    )
    return faithful


def verified(pair: Pair, check: str = "deep", **options: object) -> TableReport:
    wanted = Wanted("dbo.tipos", "public", "tipos")
    report = verify_table(pair.source, pair.target, wanted, Options(check=check, **options))  # type: ignore[arg-type]
    assert report.error is None
    return report


def keys(report: TableReport, kind: str) -> list[int]:
    return sorted(int(found.key[0] or 0) for found in report.differences if found.kind == kind)


@pytest.mark.parametrize("check", ["quick", "deep"])
def test_a_faithful_copy_is_equal(planted: Pair, check: str) -> None:
    report = verified(planted, check)
    assert report.verdict == "equal"
    assert report.source_rows == report.target_rows == ROWS + 1
    assert report.notes == ()


@pytest.mark.parametrize("check", ["quick", "deep"])
def test_each_types_smallest_change(planted: Pair, check: str) -> None:
    expected = {}
    for number, (column, changed, visible) in enumerate(CHANGES, FIRST_CHANGED):
        planted.sql(f"UPDATE tipos SET {column} = {changed} WHERE id = {number}")
        if check == "deep" or visible:
            expected[number] = column
    report = verified(planted, check)
    found = {int(one.key[0] or 0): one.cells for one in report.differences}
    if check == "quick":
        # Rows that only a deep check sees may lie in a range that was read for the sake of another.
        assert found.keys() >= expected.keys()
    else:
        assert found.keys() == expected.keys()
    for number, column in expected.items():
        assert [cell.column for cell in found[number]] == [column]


def test_a_source_that_does_not_add_up_is_read(planted: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another engine behind TDS, an old release: it may lack a function that the sums take."""

    measure = statements.measure

    def refused(side: statements.Side, *asked: Any) -> str:
        return "SELECT dbo.not_there(1)" if side == "source" else measure(side, *asked)

    monkeypatch.setattr("paralelo.verify.statements.measure", refused)
    planted.sql(f"UPDATE tipos SET code = reverse(code) WHERE id = {MIDDLE}")
    report = verified(planted, "quick")
    assert (keys(report, "different"), report.check, report.unseen) == ([MIDDLE], "deep", ())
    assert "the source does not add up" in report.notes[0]


def test_a_wide_table_is_measured_by_several_statements(planted: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "COLUMNS", 3)
    test_a_faithful_copy_is_equal(planted, "quick")
    test_each_types_smallest_change(planted, "quick")


@pytest.mark.parametrize("declared", ["decimal(38,2)", "int"])
def test_no_statement_selects_more_than_postgresql_can(declared: str) -> None:
    kind = ColumnType("decimal", precision=38, scale=2) if declared != "int" else ColumnType("integer")
    columns = tuple(
        Column(f"C{n}", f"c{n}", kind, declared, "int4" if declared == "int" else "numeric", f"[C{n}]", nullable=False)
        for n in range(1024)
    )
    for key in ((), columns[:1], columns[:16]):
        table = TablePair("dbo", "t", "public", "t", columns, key)
        parts = measures.parts(table)
        assert {column for part in parts for column in part.columns} == set(columns)
        assert max(len(measures.measures_of(part)) for part in parts) < 1_664


def test_each_measure_has_a_name() -> None:
    """Servers that call an expression by its text have no room for it in TDS, and the driver loses its place."""
    amount = Column("Amount", "amount", ColumnType("decimal", precision=38, scale=2), "decimal(38,2)", "numeric", "[A]")
    table = TablePair("dbo", "t", "public", "t", (amount,))
    sql = statements.measure("source", TableSegment(table, KeyRange()), (), None)
    selected = sqlglot.parse_one(sql, read="tsql").selects
    assert len(selected) == len(measures.measures_of(table)) + 1
    assert max(len(column.alias_or_name) for column in selected) < 128
    assert all(column.alias_or_name for column in selected)


@pytest.mark.parametrize("check", ["quick", "deep"])
def test_missing_extra_and_swapped_rows(planted: Pair, check: str) -> None:
    planted.sql(
        f"DELETE FROM tipos WHERE id IN (1, {MIDDLE}, {ROWS + 1})",
        "INSERT INTO tipos SELECT (t).* FROM (SELECT t FROM tipos AS t WHERE id = 50) AS s ON CONFLICT DO NOTHING",
        "CREATE TEMP TABLE copies AS SELECT * FROM tipos WHERE id = 60",
        f"UPDATE copies SET id = {EXTRA}",
        "INSERT INTO tipos SELECT * FROM copies",
        "DROP TABLE copies",
        "UPDATE tipos SET id = -1 WHERE id = 300",
        "UPDATE tipos SET id = 300 WHERE id = 302",
        "UPDATE tipos SET id = 302 WHERE id = -1",
    )
    report = verified(planted, check)
    assert keys(report, "missing") == [1, MIDDLE, ROWS + 1]
    assert keys(report, "extra") == [EXTRA]
    assert keys(report, "different") == [300, 302]
    assert (report.missing, report.extra, report.different) == (3, 1, 2)
    assert sum(bucket.differences for bucket in report.buckets) == 6


def test_values_are_masked_unless_asked_for(planted: Pair) -> None:
    planted.sql("UPDATE tipos SET memo = 'segredo', whole = NULL WHERE id = 7")
    (hidden,) = verified(planted).differences
    assert [(cell.source, cell.target) for cell in hidden.cells] == [
        ("(number)", None),
        ("(14 characters)", "(7 characters)"),
    ]
    (shown,) = verified(planted, show_values=True).differences
    assert [(cell.source, cell.target) for cell in shown.cells] == [("-7", None), ("texto número 7", "segredo")]


def test_a_sample_reads_a_part(planted: Pair) -> None:
    report = verified(planted, sample=64, seed=3)
    assert report.verdict == "equal"
    assert 32 <= report.source_rows <= 128
    planted.sql("UPDATE tipos SET whole = 0")
    assert verified(planted, sample=64, seed=3).different == report.source_rows


def test_since_compares_only_later_rows_and_finds_an_old_copy(planted: Pair) -> None:
    planted.sql(
        "UPDATE tipos SET mod_ts = '2024-03-01', whole = 5 WHERE id IN (11, 12)",
        "UPDATE tipos SET mod_ts = '2024-07-01' WHERE id = 13",
        "UPDATE tipos SET whole = 0 WHERE id = 300",
    )
    report = verified(planted, since="2024-05-01")
    # 13 has a newer cursor in the target only: the row is looked up on both sides, and differs by its cursor.
    assert keys(report, "different") == [11, 12, 13]
    assert report.missing == report.extra == 0


@pytest.mark.parametrize(
    ("declared", "since", "found"),
    [
        ("datetime", "2024-05-01 00:00:00.1234567", [2, 3]),
        ("smalldatetime", "2024-05-01T00:00:30.5", [2, 3]),
        ("datetimeoffset(7)", "2024-05-01T03:00:00+03:00", [2, 3]),
        ("date", "20240502", [3]),
        ("datetime2(7)", "2024-05-01T00:00:00Z", "has no offset"),
        ("rowversion", "2024-05-01", "is a time"),
    ],
)
def test_since_in_the_cursors_terms(pair: Pair, declared: str, since: str, found: list[int] | str) -> None:
    values = "2024-04-30", "2024-05-01T12:00:00", "2024-05-02"
    if declared == "rowversion":
        pair.t_sql(
            "DROP TABLE IF EXISTS dbo.desde", "CREATE TABLE dbo.desde (id int PRIMARY KEY, n int, rv rowversion)"
        )
        pair.copy("desde", "id")
        cursor = "rv"
    else:
        pair.t_sql(
            "DROP TABLE IF EXISTS dbo.desde", f"CREATE TABLE dbo.desde (id int PRIMARY KEY, n int, c {declared})"
        )
        pair.t_sql(*(f"INSERT INTO dbo.desde VALUES ({i}, 0, '{value}')" for i, value in enumerate(values, 1)))
        pair.copy("desde", "id")
        cursor = "c"
    pair.sql("UPDATE desde SET n = 1")
    wanted = Wanted("dbo.desde", "public", "desde", cursor_column=cursor)
    report = verify_table(pair.source, pair.target, wanted, Options(check="deep", since=since))
    if isinstance(found, str):
        assert report.verdict == "could not compare"
        assert found in (report.error or "")
    else:
        assert keys(report, "different") == found, report.error


def test_a_table_that_is_not_there_could_not_be_compared(pair: Pair) -> None:
    report = verify_table(pair.source, pair.target, Wanted("dbo.nada", "public", "nada"), Options())
    assert report.verdict == "could not compare"
    assert "nada" in (report.error or "")


def test_a_table_whose_rows_are_hidden_could_not_be_compared(planted: Pair) -> None:
    """By row security: they would be told as missing."""
    planted.sql("CREATE ROLE few LOGIN", "GRANT SELECT ON tipos TO few", "ALTER TABLE tipos ENABLE ROW LEVEL SECURITY")
    side = Postgres(replace(planted.target._settings, user="few"))
    try:
        report = verify_table(planted.source, side, Wanted("dbo.tipos", "public", "tipos"), Options())
    finally:
        side.close()
        planted.sql("ALTER TABLE tipos DISABLE ROW LEVEL SECURITY", "DROP OWNED BY few", "DROP ROLE few")
    assert report.verdict == "could not compare"
    assert "row security hides rows" in (report.error or "")


def test_a_column_that_the_target_lacks_is_a_difference(planted: Pair) -> None:
    planted.sql("ALTER TABLE tipos DROP COLUMN flag")
    report = verified(planted)
    assert report.verdict == "different"
    assert report.absent_columns == ("flag",)


def test_a_column_of_another_kind_is_not_compared(planted: Pair) -> None:
    planted.sql("ALTER TABLE tipos ALTER COLUMN narrow TYPE double precision")
    report = verified(planted)
    assert report.verdict == "could not compare"
    assert report.incomparable_columns == ("narrow: decimal(18,4) at the source is float8 in the target",)


def test_part_of_the_columns_is_compared_by_the_key_and_the_cursor_all_the_same(planted: Pair) -> None:
    planted.sql(f"UPDATE tipos SET whole = whole + 1, small = small - 1 WHERE id = {MIDDLE}")
    wanted = Wanted("dbo.tipos", "public", "tipos", key_columns=("id",), cursor_column="mod_ts", columns=("SMALL",))
    report = verify_table(planted.source, planted.target, wanted, Options("deep"))
    assert (report.verdict, dict(report.columns), report.compared_columns) == ("different", {"small": 1}, 3)


def test_a_sample_of_a_key_with_gaps_reads_rows_all_the_same(pair: Pair) -> None:
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.rala",
        "CREATE TABLE dbo.rala (id bigint NOT NULL PRIMARY KEY)",
        f"INSERT INTO dbo.rala VALUES {', '.join(f'({10**9 * n + n})' for n in (1, 2, 3, 5000))}",
    )
    pair.copy("rala", "id")
    wanted = Wanted("dbo.rala", "public", "rala")
    reports = [verify_table(pair.source, pair.target, wanted, Options(sample=1, seed=seed)) for seed in range(8)]
    assert {(report.verdict, report.source_rows > 0) for report in reports} == {("equal", True)}
    pair.sql("DELETE FROM rala")
    lacking = verify_table(pair.source, pair.target, wanted, Options(sample=2, seed=1))
    assert (lacking.verdict, lacking.missing > 0) == ("different", True)


def test_a_sample_that_reads_nothing_proves_nothing(planted: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paralelo.verify.table.sampling.windows", lambda *_: [])
    report = verify_table(planted.source, planted.target, Wanted("dbo.tipos", "public", "tipos"), Options(sample=1))
    assert report.verdict == "could not compare"
    assert "rows was read: take a larger sample" in (report.error or "")


@pytest.mark.parametrize("kind", ["date", "datetime2(7)"])
def test_a_sample_goes_to_the_last_day_there_is(pair: Pair, kind: str) -> None:
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.ate_o_fim",
        f"CREATE TABLE dbo.ate_o_fim (d {kind} NOT NULL PRIMARY KEY)",
        "INSERT INTO dbo.ate_o_fim VALUES ('2024-01-01'), ('2024-01-02'), ('2024-01-03'), ('9999-12-31')",
    )
    pair.copy("ate_o_fim", "d")
    assert {verdict for verdict, _ in sampled(pair, "ate_o_fim", 3)} == {"equal"}


def sampled(pair: Pair, name: str, rows: int) -> set[tuple[str, int]]:
    """Verdicts and rows read, of samples by several seeds."""
    wanted = Wanted(f"dbo.{name}", "public", name)
    reports = [verify_table(pair.source, pair.target, wanted, Options(sample=rows, seed=seed)) for seed in range(6)]
    return {(report.verdict, report.source_rows) for report in reports}


def test_a_sample_of_an_axis_with_few_values(pair: Pair) -> None:
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.poucos",
        "CREATE TABLE dbo.poucos (a int NOT NULL, b int NOT NULL, PRIMARY KEY (a, b))",
        f"INSERT INTO dbo.poucos VALUES {', '.join(f'({n % 3}, {n})' for n in range(300))}",
    )
    pair.copy("poucos", "a, b")
    assert sampled(pair, "poucos", 40) == {("equal", 100)}


def test_a_samples_edges_are_values_of_the_key(pair: Pair) -> None:
    moments = ", ".join(f"('2024-01-01T{n // 60:02}:{n % 60:02}:00')" for n in range(600))
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.minutos",
        "CREATE TABLE dbo.minutos (m datetime2(0) NOT NULL PRIMARY KEY)",
        f"INSERT INTO dbo.minutos VALUES {moments}",
    )
    pair.copy("minutos", "m")
    found = sampled(pair, "minutos", 300)
    assert {verdict for verdict, _ in found} == {"equal"}
    assert min(rows for _, rows in found) > 0


def test_a_server_before_2016_is_measured(planted: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has neither DATEDIFF_BIG nor a style that writes a float's every digit: what that leaves open is read."""
    asked = statements.measure

    def by_2014(*arguments: Any) -> str:
        return asked(*arguments).replace("DATEDIFF_BIG", "no_such_function").replace("AS float), 3)", "AS float), 0)")

    monkeypatch.setattr(statements, "measure", by_2014)
    report = verified(planted, "quick")
    assert report.verdict == "equal"
    assert "measures that differ: dbl digits, sgl digits, row numbers" in report.notes
    planted.sql("UPDATE tipos SET dbl = 1.2500000000000002 WHERE id = 7")
    assert [cell.column for found in verified(planted, "quick").differences for cell in found.cells] == ["dbl"]
