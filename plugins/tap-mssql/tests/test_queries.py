"""The SQL of pages, run on an engine of its own: every row once, for any key, page size and bookmark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from tap_mssql.queries import Condition, Statement, TableQueries
from tap_mssql.sql_types import SqlColumn


def column(name: str, base: str = "int", **more: Any) -> SqlColumn:
    return SqlColumn(name, base, 4, 10, 0, nullable=False, **more)


ID, SUB, THIRD, STAMP = column("Id"), column("sub key"), column("3]rd"), column("mod")


def queries(key: tuple[SqlColumn, ...], cursor: SqlColumn | None = None) -> TableQueries:
    return TableQueries("[dbo].[t]", (ID, SUB, THIRD, STAMP), key, cursor, (), None)


def run(database: duckdb.DuckDBPyConnection, statement: Statement) -> list[tuple[int, ...]]:
    sql, values = statement
    found = database.execute(sqlglot.transpile(sql, read="tsql", write="duckdb")[0], values or None).fetchall()
    return [tuple(row) for row in found]


def page(
    database: duckdb.DuckDBPyConnection,
    make: Callable[[int, Condition], Statement],
    size: int,
    conditions: list[Condition],
) -> list[tuple[int, ...]]:
    """A page as the tap puts it together: what one condition leaves to be read is read by the next."""
    found: list[tuple[int, ...]] = []
    for condition in conditions:
        if len(found) < size:
            found += run(database, make(size - len(found), condition))
    return found


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute('CREATE SCHEMA dbo; CREATE TABLE dbo.t("Id" INT, "sub key" INT, "3]rd" INT, "mod" INT)')
        yield connection


ROWS = st.sets(st.tuples(st.integers(-3, 3), st.integers(-2, 2), st.integers(0, 2)), max_size=40)


def fill(database: duckdb.DuckDBPyConnection, rows: list[tuple[int, ...]]) -> None:
    database.execute("DELETE FROM dbo.t")
    if rows:
        database.executemany("INSERT INTO dbo.t VALUES (?, ?, ?, ?)", rows)


@settings(max_examples=40)
@given(rows=ROWS, size=st.integers(1, 9), width=st.integers(1, 3))
def test_full_pages_go_down_the_whole_key_and_miss_nothing(
    database: duckdb.DuckDBPyConnection, rows: set[tuple[int, int, int]], size: int, width: int
) -> None:
    """SPEC F1, F2."""
    unique = {row[:width]: row for row in rows}
    fill(database, [(*row, 0) for row in unique.values()])
    asked = queries((ID, SUB, THIRD)[:width])
    upper = run(database, asked.upper_key())
    seen: list[tuple[int, ...]] = []
    below = None
    while upper:
        rows_read = page(database, asked.page, size, asked.below(upper[0], below))
        if not rows_read:
            break
        seen += [row[:width] for row in rows_read]
        below = rows_read[-1][:width]
    assert seen == sorted(unique, reverse=True)


def test_rows_above_the_upper_key_are_left_out(database: duckdb.DuckDBPyConnection) -> None:
    """SPEC F1."""
    fill(database, [(1, 1, 0, 0), (1, 2, 0, 0), (2, 0, 0, 0)])
    asked = queries((ID, SUB))
    assert [row[:2] for row in page(database, asked.page, 9, asked.below((1, 2), None))] == [(1, 2), (1, 1)]


@settings(max_examples=40)
@given(
    stamps=st.lists(st.integers(0, 3), max_size=25),
    size=st.integers(1, 9),
    low=st.integers(0, 3),
    high=st.integers(0, 3),
)
def test_incremental_pages_go_up_by_cursor_and_key(
    database: duckdb.DuckDBPyConnection, stamps: list[int], size: int, low: int, high: int
) -> None:
    """SPEC I1, I4."""
    rows = [(number % 4, number, 0, stamp) for number, stamp in enumerate(stamps)]
    fill(database, rows)
    asked = queries((ID, SUB), STAMP)
    seen: list[tuple[int, ...]] = []
    after = None
    while found := page(database, asked.cursor_page, size, asked.window(low, high, after)):
        seen += [row[:4] for row in found]
        assert all(row[4] == row[3] for row in found)
        after = (found[-1][3], found[-1][:2])
    assert seen == sorted((row for row in rows if low <= row[3] <= high), key=lambda row: (row[3], row[0], row[1]))


def test_each_statement_is_one_seek() -> None:
    """Equality on the first columns and one comparison: an index over the key goes straight to the first row.

    With an OR, SQL Server would read again for every page all rows that share the first column.
    """
    below = queries((ID, SUB)).below((9, 9), (5, 7))
    assert below == [
        ("[Id] = CAST(? AS int) AND [sub key] < CAST(? AS int)", [5, 7]),
        ("[Id] < CAST(? AS int)", [5]),
    ]
    assert queries((ID,), STAMP).window(1, 8, (3, (5,))) == [
        ("[mod] = CAST(? AS int) AND [Id] > CAST(? AS int)", [3, 5]),
        ("[mod] > CAST(? AS int) AND [mod] <= CAST(? AS int)", [3, 8]),
    ]


def test_a_key_checked_for_repeats_and_nulls(database: duckdb.DuckDBPyConnection) -> None:
    fill(database, [(1, 1, 0, 0), (1, 2, 0, 0)])
    assert run(database, queries((ID,)).repeated_keys()) == [(1,)]
    assert run(database, queries((ID, SUB)).repeated_keys()) == []
    assert run(database, queries((ID,)).null_keys()) == [(0,)]
    database.execute("INSERT INTO dbo.t VALUES (2, NULL, 0, 0)")
    assert run(database, queries((ID, SUB)).null_keys()) == [(1,)]


def test_the_size_of_large_values_is_asked_of_the_same_rows() -> None:
    large = column("doc", "varchar")
    asked = queries((ID,))
    sql, values = asked.largest_value([large], 10, asked.below((9,), (5,))[0])
    assert sql == (
        "SELECT MAX(v._paralelo_bytes) FROM (SELECT TOP (10) COALESCE(CAST(DATALENGTH([doc]) AS bigint), 0)"
        " AS _paralelo_bytes FROM [dbo].[t]"
        " WHERE [Id] < CAST(? AS int) ORDER BY [Id] DESC) v"
    )
    assert values == [5]
    assert asked.largest_value_of_all([large, large]) == (
        "SELECT MAX(COALESCE(CAST(DATALENGTH([doc]) AS bigint), 0) + COALESCE(CAST(DATALENGTH([doc]) AS bigint), 0))"
        " AS _paralelo_bytes FROM [dbo].[t]",
        [],
    )


def test_no_column_of_a_result_is_called_by_a_long_expression(database: duckdb.DuckDBPyConnection) -> None:
    """Servers that do so send a name whose length does not fit its byte, and the driver loses its place."""
    asked = replace(queries((ID, SUB)), table=f"[dbo].[{'table' * 20}]")
    database.execute(f"CREATE OR REPLACE TABLE dbo.{'table' * 20} AS FROM dbo.t")
    database.execute("CREATE OR REPLACE MACRO datalength(v) AS length(v::VARCHAR)")
    for statement in [*asked.further(("", []), 0, (1, 2)), asked.largest_value_of_all([ID, SUB, THIRD, STAMP])]:
        run(database, statement)
        assert [len(name) < 128 for name, *_ in database.description or ()] == [True]


def test_the_highest_count_is_found_by_an_index() -> None:
    """A cast inside MAX would have SQL Server read the whole index, for every incremental sync."""
    queries = TableQueries("t", (column("id"),), (column("id"),), column("n", "smallint"), (), None)
    assert queries.highest_cursor() == ("SELECT CAST(MAX([n]) AS bigint) FROM t", [])


def test_pages_are_in_the_order_of_the_key_itself_where_it_is_selected_by_an_expression() -> None:
    key = column("code", "varchar", collation="Japanese_CI_AS")
    made = TableQueries("[dbo].[t]", (key,), (key,), None, (), None)
    (sql, _), (highest, _) = made.page(7, ("", [])), made.upper_key()
    assert sql.endswith("ORDER BY [dbo].[t].[code] DESC")
    assert "CAST([code] AS nvarchar(4))" in highest
