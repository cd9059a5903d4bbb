"""Rows looked up again by their keys, of every kind, at both sides: found, and never lost on the way."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest
from sync_rules.column_types import ColumnType

from paralelo.verify.canonical import canonical_schema
from paralelo.verify.columns import Column, TablePair
from paralelo.verify.keys import certain, conditions
from paralelo.verify.pairing import Wanted
from paralelo.verify.postgres import Postgres
from paralelo.verify.segments import TableSegment
from paralelo.verify.sides import Side
from paralelo.verify.table import Options, describe_pair, verify_table
from paralelo.verify.tests.conftest import Pair

KEYS = {
    "time(7)": ["'12:34:56.1234567'", "'23:59:59.9999999'"],
    "datetime2(7)": ["'2024-01-01T12:34:56.1234567'", "'9999-12-31T23:59:59.9999999'"],
    "datetime": ["'2024-01-01T12:34:56.007'"],
    "smalldatetime": ["'2024-01-01T12:34:00'"],
    "varchar(20)": ["'a' + CHAR(0) + 'b'", "'it''s'"],
    "varbinary(16)": ["0x0102", "0x0E984725C51C4BF49960E1C80E27ABA0", "0x"],
    "uniqueidentifier": ["'0E984725-C51C-4BF4-9960-E1C80E27ABA0'"],
}


@pytest.mark.parametrize("declared", list(KEYS))
def test_every_kind_of_key_is_found_again(pair: Pair, declared: str) -> None:
    _filled(pair, declared)
    table = describe_pair(pair.source, pair.target, Wanted("dbo.achar", "public", "achar")).table
    here, there = _everything(pair.source, table), _everything(pair.target, table)
    assert here.num_rows == there.num_rows == len(KEYS[declared])
    for side in (pair.source, pair.target):
        found: Side = side
        assert found.read_keys(table, there.select(["k"])).num_rows == here.num_rows


def test_no_backslash_before_a_lines_end_is_written_into_a_literal() -> None:
    """SQL Server takes the two for a line that goes on, and reads neither."""
    key = Column("k", "k", ColumnType("varchar", 20), "nvarchar(20)", "varchar", "[k]")
    table = TablePair("dbo", "t", "public", "t", (key,), (key,))
    (asked,) = conditions("source", table, pa.table({"k": ["a\\\nb\\\r\nc"]}))
    assert "N'a\\' + N'\nb\\' + N'\r\nc'" in asked


def test_no_decimal_is_written_with_an_exponent() -> None:
    """SQL Server reads one as a float alone: a key of 0 could not be asked for."""
    key = Column("k", "k", ColumnType("decimal", precision=38, scale=9), "decimal(38,9)", "numeric", "[k]")
    table = TablePair("dbo", "t", "public", "t", (key,), (key,))
    keys = pa.table({"k": pa.array([Decimal(0), Decimal("-0.000000001")], pa.decimal128(38, 9))})
    for side, texts in (("source", "N'0.000000000'|N'-0.000000001'"), ("target", "'0.000000000'|'-0.000000001'")):
        (asked,) = conditions(side, table, keys)  # type: ignore[arg-type]  # the two are sides
        assert all(f"CAST({text} AS" in asked for text in texts.split("|"))


def test_a_text_beyond_the_databases_code_page_is_looked_for_as_it_is() -> None:
    """A cast makes `?` of what the database's own collation has no character for; the column's may have it."""
    key = Column("k", "k", ColumnType("varchar", 20), "varchar(20)", "varchar", "[k]")
    table = TablePair("dbo", "t", "public", "t", (key,), (key,))
    (asked,) = conditions("source", table, pa.table({"k": ["plain", "\u0436"]}))
    assert asked == "([k] = CAST(N'plain' AS varchar(20))) OR ([k] = N'\u0436')"


def _filled(pair: Pair, declared: str) -> None:
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.achar",
        f"CREATE TABLE dbo.achar (k {declared} NOT NULL PRIMARY KEY, n int, mod_ts datetime2(7) NOT NULL)",
        *(f"INSERT INTO dbo.achar VALUES ({key}, 1, '2024-05-01')" for key in KEYS[declared]),
    )
    pair.copy("achar", "k")


def _everything(side: Side, table: TablePair) -> pa.Table:
    batches = list(side.read(TableSegment(table), None, ordered=False))
    return pa.Table.from_batches(batches, canonical_schema(table.columns))


@pytest.mark.parametrize("declared", list(KEYS))
def test_since_loses_no_difference_by_a_look_at_its_key(pair: Pair, declared: str) -> None:
    _filled(pair, declared)
    pair.sql("DELETE FROM achar")
    options = Options(check="deep", since="2024-04-01")
    report = verify_table(pair.source, pair.target, Wanted("dbo.achar", "public", "achar"), options)
    assert (report.verdict, report.missing) == ("different", len(KEYS[declared])), report.error


def test_an_infinite_date_is_a_key_of_the_target_only(pair: Pair, target: Postgres) -> None:
    pair.t_sql("DROP TABLE IF EXISTS dbo.achar", "CREATE TABLE dbo.achar (k date NOT NULL PRIMARY KEY, n int)")
    pair.copy("achar", "k")
    pair.sql("INSERT INTO achar VALUES ('infinity', 1), ('2024-01-01', 1)")
    table = describe_pair(pair.source, pair.target, Wanted("dbo.achar", "public", "achar")).table
    keys = _everything(target, table).select(["k"])
    assert pair.source.read_keys(table, keys).num_rows == 0
    assert target.read_keys(table, keys).num_rows == 2
    for check in ("quick", "deep"):
        report = verify_table(pair.source, pair.target, Wanted("dbo.achar", "public", "achar"), Options(check))  # type: ignore[arg-type]
        assert (report.extra, report.error) == (2, None)


def test_a_key_whose_nul_was_replaced_is_never_sure(pair: Pair) -> None:
    _filled(pair, "varchar(20)")
    table = describe_pair(pair.source, pair.target, Wanted("dbo.achar", "public", "achar")).table
    keys = _everything(pair.target, table).select(["k"])
    replaced = [key != "it's" for key in keys.column("k").to_pylist()]
    assert certain(table, keys, "\u2400").tolist() == [not one for one in replaced]
    assert certain(table, keys, "").tolist() == [False, False]
    assert certain(table, keys, None).tolist() == [True, True]
    inexact = replace(table, key=(replace(table.key[0], kind=ColumnType("double precision")),))
    assert certain(inexact, keys, None).tolist() == [False, False]
