"""The rules of docs/verify.md: what is the same value on both sides, and what is not."""

from __future__ import annotations

import psycopg
import pytest

from paralelo.verify.pairing import Wanted
from paralelo.verify.report import TableReport
from paralelo.verify.table import Options, describe_pair, verify_table
from paralelo.verify.tests.conftest import Pair


def deep(pair: Pair, table: str, **options: object) -> TableReport:
    wanted = Wanted(f"dbo.{table}", "public", table)
    report = verify_table(pair.source, pair.target, wanted, Options("deep", **options))  # type: ignore[arg-type]
    assert report.error is None
    return report


def both(pair: Pair, declared: str, value: str, stored: str, copy: str) -> TableReport:
    """One value of the source's type, and its copy, as SQL of each side."""
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.valor",
        f"CREATE TABLE dbo.valor (id int NOT NULL PRIMARY KEY, v {declared})",
        f"INSERT INTO dbo.valor VALUES (1, {value})",
    )
    pair.sql(
        "DROP TABLE IF EXISTS valor",
        f"CREATE TABLE valor (id int PRIMARY KEY, v {stored})",
        f"INSERT INTO valor VALUES (1, {copy})",
    )
    quick = verify_table(pair.source, pair.target, Wanted("dbo.valor", "public", "valor"), Options())
    found = deep(pair, "valor")
    # A quick check may overlook a difference; it never makes one up.
    assert (quick.error, quick.check) == (None, "quick")
    assert found.verdict == "different" or quick.verdict == "equal"
    return found


SAME = [
    ("char in a code page", "char(6)", "'ab'", "char(6)", "'ab'"),
    (
        "an instant",
        "datetimeoffset(7)",
        "'2024-01-01T00:00:00.1234567+02:00'",
        "timestamptz",
        "'2023-12-31T22:00:00.123456Z'",
    ),
    ("char padding", "nchar(6)", "N'ab'", "char(6)", "'ab'"),
    ("char stored without padding", "nchar(6)", "N'ab'", "text", "'ab'"),
    ("a NUL that the target replaced", "nvarchar(10)", "N'a' + NCHAR(0) + N'b'", "varchar(10)", "E'a\\u2400b'"),
    (
        "datetime2(7) cut to microseconds",
        "datetime2(7)",
        "'2024-01-01T00:00:00.1234569'",
        "timestamp",
        "'2024-01-01 00:00:00.123456'",
    ),
    ("time(7) cut to microseconds", "time(7)", "'23:59:59.9999999'", "time", "'23:59:59.999999'"),
    (
        "datetime's ticks as milliseconds",
        "datetime",
        "'2024-01-01T00:00:00.007'",
        "timestamp(3)",
        "'2024-01-01 00:00:00.007'",
    ),
    (
        "uniqueidentifier in small letters",
        "uniqueidentifier",
        "'0E984725-C51C-4BF4-9960-E1C80E27ABA0'",
        "uuid",
        "'0e984725-c51c-4bf4-9960-e1c80e27aba0'",
    ),
    ("trailing zeros of a decimal", "decimal(18,4)", "1.5", "numeric", "1.50000000"),
    ("an integer stored as numeric", "bigint", "9007199254740993", "numeric", "9007199254740993"),
    ("a small integer stored wider", "tinyint", "255", "bigint", "255"),
    ("real stored as double", "real", "0.1", "double precision", "0.1::real"),
    ("a float's every digit", "float", "0.1", "double precision", "0.1"),
    ("money", "money", "-922337203685477.5808", "numeric(19,4)", "-922337203685477.5808"),
    (
        "the largest decimal",
        "decimal(38,2)",
        f"CAST('{'9' * 36}.99' AS decimal(38,2))",
        "numeric(38,2)",
        f"{'9' * 36}.99",
    ),
    ("beyond U+FFFF", "nvarchar(10)", "N'a\U0001f600b'", "varchar(10)", "'a\U0001f600b'"),
    ("an old text", "text", "'ab'", "text", "'ab'"),
    ("an old wide text", "ntext", "N'ab'", "text", "'ab'"),
    ("an old byte string", "image", "0x0102", "bytea", "'\\x0102'"),
    ("XML", "xml", "N'<a/>'", "text", "'<a/>'"),
    ("the last day", "date", "'9999-12-31'", "date", "'9999-12-31'"),
    ("NULL", "varchar(5)", "NULL", "varchar(5)", "NULL"),
]
DIFFERENT = [
    ("the same wall time", "datetimeoffset(0)", "'2024-01-01T00:00:00+02:00'", "timestamptz", "'2024-01-01T00:00:00Z'"),
    ("trailing space of varchar", "varchar(5)", "'ab '", "varchar(5)", "'ab'"),
    ("letters' case", "varchar(5)", "'ab'", "varchar(5)", "'AB'"),
    ("accents", "nvarchar(5)", "N'\u00e9'", "varchar(5)", "'e'"),
    ("composed against decomposed", "nvarchar(5)", "N'\u00e9'", "varchar(5)", "E'e\\u0301'"),
    ("NULL against empty", "varchar(5)", "NULL", "varchar(5)", "''"),
    ("NULL against zero", "int", "NULL", "int", "0"),
    ("a microsecond", "datetime2(6)", "'2024-01-01T00:00:00.000001'", "timestamp", "'2024-01-01'"),
    ("a rounded digit", "datetime2(7)", "'2024-01-01T00:00:00.1234569'", "timestamp", "'2024-01-01T00:00:00.123457'"),
    ("a float's last bit", "float", "0.1", "double precision", "0.10000000000000002"),
    ("not a number", "decimal(18,2)", "1", "numeric", "'NaN'"),
    ("a digit too many", "decimal(18,2)", "1.5", "numeric", "1.501"),
    ("an infinite date", "date", "'9999-12-31'", "date", "'infinity'"),
    ("an infinite time", "datetime2(6)", "'9999-12-31'", "timestamp", "'infinity'"),
    ("PostgreSQL's last time", "datetime2(6)", "'9999-12-31'", "timestamp", "'294276-12-31 23:59:59.999999'"),
    ("PostgreSQL's last date", "date", "'9999-12-31'", "date", "'5874897-12-31'"),
    ("the last of 38 digits", "decimal(38,0)", f"CAST('{'9' * 38}' AS decimal(38,0))", "numeric(38,0)", f"{'9' * 37}8"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("declared", "value", "stored", "copy"), [one[1:] for one in SAME], ids=[one[0] for one in SAME]
)
def test_the_same(pair: Pair, declared: str, value: str, stored: str, copy: str) -> None:
    assert both(pair, declared, value, stored, copy).verdict == "equal"


@pytest.mark.parametrize(
    ("declared", "value", "stored", "copy"), [one[1:] for one in DIFFERENT], ids=[one[0] for one in DIFFERENT]
)
def test_not_the_same(pair: Pair, declared: str, value: str, stored: str, copy: str) -> None:
    report = both(pair, declared, value, stored, copy)
    assert (report.different, report.missing, report.extra) == (1, 0, 0)
    assert list(report.columns or {}) == ["v"]


KEYS = [
    ("text", "k varchar(20) NOT NULL PRIMARY KEY", "k"),
    ("uuid", "k uniqueidentifier NOT NULL PRIMARY KEY", "k"),
    ("decimal", "k decimal(20,2) NOT NULL PRIMARY KEY", "k"),
    ("datetime2", "k datetime2(7) NOT NULL PRIMARY KEY", "k"),
    ("date and text", "d date NOT NULL, k varchar(20) NOT NULL, PRIMARY KEY (d, k)", "d, k"),
    ("no key", "k varchar(20)", None),
    ("two integers", "a int NOT NULL, k int NOT NULL, PRIMARY KEY (a, k)", "a, k"),
]
VALUES = {
    "varchar": [f"'{letter}{n}'" for n in range(5) for letter in ("a", "\u00e7", "Z", "_")],
    "uniqueidentifier": [f"'{n:02}984725-C51C-4BF4-9960-E1C80E27{9999 - n}'" for n in range(20)],
    "decimal": [f"{n - 10}.5" for n in range(20)],
    "datetime2": [f"'19{60 + n}-01-01T00:00:00.1234567'" for n in range(20)],
    "int": [str(n - 10) for n in range(20)],
}


@pytest.mark.parametrize(("columns", "key"), [one[1:] for one in KEYS], ids=[one[0] for one in KEYS])
def test_every_kind_of_key(pair: Pair, columns: str, key: str | None) -> None:
    kind = columns.partition("k ")[2].partition("(")[0].partition(" ")[0]
    first = {"d": "'2024-01-01', ", "a": "7, "}.get(columns[0], "")
    own, primary, rest = columns.partition(", PRIMARY")
    pair.t_sql("DROP TABLE IF EXISTS dbo.chaves", f"CREATE TABLE dbo.chaves ({own}, n int{primary}{rest})")
    names = ("d, " if columns[0] == "d" else "a, " if columns[0] == "a" else "") + "k, n"
    rows = ", ".join(f"({first}{value}, {number})" for number, value in enumerate(VALUES[kind]))
    pair.t_sql(f"INSERT INTO dbo.chaves ({names}) VALUES {rows}")
    pair.copy("chaves", key)
    for check in ("deep", "quick"):
        wanted = Wanted("dbo.chaves", "public", "chaves")
        same = verify_table(pair.source, pair.target, wanted, Options(check))
        assert (same.verdict, same.source_rows) == ("equal", 20), same.error
    pair.sql("DELETE FROM chaves WHERE n IN (0, 19)", "UPDATE chaves SET n = n + 1 WHERE n = 7")
    for check in ("deep", "quick"):
        report = verify_table(pair.source, pair.target, wanted, Options(check))  # type: ignore[arg-type]
        if key is None:
            assert (report.missing, report.extra, report.different) == (3, 1, 0)
        else:
            assert (report.missing, report.extra, report.different) == (2, 0, 1)


def test_a_key_that_only_the_target_lets_be_null(pair: Pair) -> None:
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.solta",
        "CREATE TABLE dbo.solta (id int NOT NULL PRIMARY KEY, n int)",
        "INSERT INTO dbo.solta VALUES (1, 1), (2, 2)",
    )
    pair.copy("solta")
    pair.sql("INSERT INTO solta VALUES (NULL, 3)")
    report = deep(pair, "solta")
    assert (report.missing, report.extra, report.different) == (0, 1, 0)


def test_no_session_of_a_comparison_writes(pair: Pair) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), pair.target._pool.borrow() as connection:
        connection.execute("CREATE TABLE nunca (id int)")


def test_rows_that_occur_many_times_without_a_key(pair: Pair) -> None:
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.repetidas",
        "CREATE TABLE dbo.repetidas (n int, t varchar(5))",
        "INSERT INTO dbo.repetidas VALUES (1, 'a'), (1, 'a'), (1, 'a'), (NULL, NULL), (NULL, NULL)",
    )
    pair.copy("repetidas")
    assert deep(pair, "repetidas").verdict == "equal"
    pair.sql("DELETE FROM repetidas WHERE ctid = (SELECT min(ctid) FROM repetidas WHERE n = 1)")
    report = deep(pair, "repetidas", show_values=True)
    assert (report.missing, report.extra) == (1, 0)
    assert [(cell.column, cell.source) for cell in report.differences[0].cells] == [("n", "1"), ("t", "a")]


def test_columns_are_told_from_the_names_that_the_statements_give(pair: Pair) -> None:
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.nomes",
        "CREATE TABLE dbo.nomes (id int NOT NULL PRIMARY KEY, bucket_ int, row_number_ int, t int, q int, rows int)",
        "INSERT INTO dbo.nomes VALUES (1, 2, 3, 4, 5, 6), (2, 3, 4, 5, 6, 7)",
    )
    pair.copy("nomes", "id")
    wanted = Wanted("dbo.nomes", "public", "nomes", ("id",))
    assert verify_table(pair.source, pair.target, wanted, Options("quick")).verdict == "equal"
    pair.sql("UPDATE nomes SET bucket_ = 9 WHERE id = 2")
    assert verify_table(pair.source, pair.target, wanted, Options("quick")).verdict == "different"


def test_columns_that_select_leaves_out_are_told_and_make_no_difference(pair: Pair) -> None:
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.parte",
        "CREATE TABLE dbo.parte (id int NOT NULL PRIMARY KEY, cpf varchar(11), mod_ts datetime2(7), nome varchar(9))",
        "INSERT INTO dbo.parte VALUES (1, 'x', '2024-01-01', 'a')",
    )
    pair.copy("parte", "id")
    pair.sql("ALTER TABLE parte DROP COLUMN cpf")
    wanted = Wanted("dbo.parte", "public", "parte", ("id",), select=("*.nome",), stream="dbo-parte")
    for check in ("quick", "deep"):
        report = verify_table(pair.source, pair.target, wanted, Options(check))  # type: ignore[arg-type]
        assert (report.verdict, report.compared_columns) == ("equal", 3)
        assert any("select leaves out, not compared: cpf" in note for note in report.notes)
    pair.sql("UPDATE parte SET nome = 'b'")
    assert verify_table(pair.source, pair.target, wanted, Options("deep")).verdict == "different"


def test_a_staging_table_may_hold_rows_deleted_since(pair: Pair) -> None:
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.viva",
        "CREATE TABLE dbo.viva (id int NOT NULL PRIMARY KEY, mod_ts datetime2(7) NOT NULL)",
        "INSERT INTO dbo.viva VALUES (1, '2024-01-01'), (2, '2024-01-01'), (3, '2024-01-01')",
    )
    pair.copy("viva")
    pair.t_sql("DELETE FROM dbo.viva WHERE id = 1", "UPDATE dbo.viva SET mod_ts = '2024-06-01' WHERE id = 2")
    # The row that changed at this very moment is the next sync's as well.
    report = deep(pair, "viva", settled_at="2024-06-01T00:00:00", ignore_extra=True)
    assert report.verdict == "equal"
    assert (report.extra, report.unsettled) == (1, 1)
    assert deep(pair, "viva", settle_seconds=0).verdict == "different"


@pytest.mark.parametrize("check", ["quick", "deep"])
def test_a_target_without_the_rows_is_not_equal_however_young_they_are(pair: Pair, check: str) -> None:
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.jovem",
        "CREATE TABLE dbo.jovem (id int NOT NULL PRIMARY KEY, mod_ts datetime2(7) NOT NULL)",
        f"INSERT INTO dbo.jovem VALUES {', '.join(f'({n}, SYSDATETIME())' for n in range(1, 101))}",
    )
    pair.copy("jovem")
    wanted = Wanted("dbo.jovem", "public", "jovem")
    # A few rows on their way are what a table in use always has.
    pair.sql("DELETE FROM jovem WHERE id > 95")
    report = verify_table(pair.source, pair.target, wanted, Options(check))  # type: ignore[arg-type]
    assert (report.verdict, report.unsettled) == ("equal", 5)
    pair.sql("DELETE FROM jovem")
    for options in (Options(check), Options(check, settled_at="2024-01-01T00:00:00")):  # type: ignore[arg-type]
        report = verify_table(pair.source, pair.target, wanted, options)
        assert (report.verdict, report.unsettled) == ("could not compare", 100)
        assert "changed too recently" in (report.error or "")
    # It says that it will change in 2099: no sync is going to bring that.
    pair.t_sql("UPDATE dbo.jovem SET mod_ts = '2099-01-01' WHERE id < 5")
    report = verify_table(pair.source, pair.target, wanted, Options(check))  # type: ignore[arg-type]
    assert (report.verdict, report.missing) == ("different", 4)


@pytest.mark.parametrize("declared", ["datetime2(7)", "datetimeoffset(7)"])
def test_rows_of_one_microsecond_that_only_the_source_tells_apart(pair: Pair, declared: str) -> None:
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.cortada",
        f"CREATE TABLE dbo.cortada (m {declared} NOT NULL, k int NOT NULL, n int, PRIMARY KEY (m, k))",
        # By the seventh digit the second comes first; by the microsecond and k, the first.
        "INSERT INTO dbo.cortada VALUES ('2024-01-01T00:00:00.1234569', 1, 1), ('2024-01-01T00:00:00.1234561', 2, 2)",
    )
    pair.copy("cortada", "m, k")
    table = describe_pair(pair.source, pair.target, Wanted("dbo.cortada", "public", "cortada")).table
    assert not table.ordered
    assert deep(pair, "cortada").verdict == "equal"
