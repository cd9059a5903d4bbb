"""One page, as it is read from a server whose rows move meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sync_rules.exits import SourceUnreachable
from tap_mssql.errors import SourceChanged
from tap_mssql.pages import PageReader
from tap_mssql.queries import TableQueries
from tap_mssql.sql_types import SqlColumn

SETTINGS = {"page_size": 10, "page_bytes": 1_000_000, "fetch_size": 2, "driver": "mssql-python"}


class Moving:
    """Answers each query with the next of these pages of keys, two rows a batch; then with the last.

    Whether there are more it answers by `more`, and then that there are none.
    """

    def __init__(self, kind: pa.DataType, *pages: Sequence[Any]) -> None:
        self._kind, self._pages, self.asked = kind, pages, 0
        self.questions: list[tuple[str, Sequence[Any]]] = []
        self.more: list[int] = []

    def rows(self, sql: str, values: Sequence[Any], *, table: str, most: int) -> list[tuple[int]]:
        del table, most
        self.questions.append((sql, values))
        return [(self.more.pop(0) if self.more else 0,)]

    def batches(self, *_: Any, table: str, most: int | None = None, asked_on: bool = False) -> Iterator[pa.RecordBatch]:
        del table, most, asked_on
        keys = self._pages[min(self.asked, len(self._pages) - 1)]
        self.asked += 1
        for at in range(0, len(keys), 2):
            part = pa.array(keys[at : at + 2], self._kind)
            yield pa.RecordBatch.from_arrays([part], names=["id"])


def reader(server: Moving, **settings: int) -> PageReader:
    column = SqlColumn("id", "int", 4, 10, 0, nullable=False)
    queries = TableQueries("t", (column,), (column,), None, (), None)
    connection: Any = server
    return PageReader(
        "dbo.t", connection, queries, pa.schema([pa.field("id", column.type.arrow)]), {**SETTINGS, **settings}
    )


def keys_of(server: Moving) -> tuple[list[int], bool]:
    made = reader(server)
    found = made.read([("", [])], 10)
    return [row["id"] for batch in found.batches for row in batch.to_pylist()], found.repeated


@pytest.mark.parametrize(("kind", "keys"), [(pa.int64(), [2**40]), (pa.binary(), [b"\x01"])])
def test_values_of_another_type_than_described_are_told(kind: pa.DataType, keys: list[Any]) -> None:
    """Not cut to fit: the table was altered, and the next run describes it afresh."""
    with pytest.raises(SourceChanged, match="values do not fit"):
        keys_of(Moving(kind, keys))


@pytest.mark.parametrize("setting", [{"page_size": 2}, {"page_bytes": 8}])
def test_a_table_without_a_key_comes_in_pages_too(setting: dict[str, int]) -> None:
    made = reader(Moving(pa.int32(), (6, 5, 4, 3, 2)), **setting)
    assert [page.num_rows for page in made.read_whole()] == [2, 2, 1]


@pytest.mark.parametrize("twice", [(4, 4, 2, 1), (4, 2, 2, 1)], ids=["in a batch", "across batches"])
def test_a_page_with_a_row_met_twice_is_read_again(twice: Sequence[int]) -> None:
    server = Moving(pa.int32(), twice, (4, 2, 1))
    assert keys_of(server) == ([4, 2, 1], False)
    assert server.asked == 2


def test_a_page_that_stays_so_is_told() -> None:
    server = Moving(pa.int32(), (4, 2, 2, 1))
    assert keys_of(server) == ([4, 2, 2, 1], True)
    assert server.asked == 3


def test_a_page_that_is_short_is_the_last_only_where_the_server_says_so() -> None:
    server = Moving(pa.int32(), (9, 8, 7))
    server.more = [1, 0]
    made = reader(server)
    assert [made.read([("[id] <= ?", [9])], 10).ended for _ in range(2)] == [False, True]
    below = "SELECT 1 FROM t WHERE [id] <= ? AND [id] < CAST(? AS int)"
    exists = f"SELECT CASE WHEN EXISTS ({below}) THEN 1 ELSE 0 END AS _paralelo_more"
    assert server.questions == [(exists, [9, 7])] * 2
    assert made.read([("[id] <= ?", [9])], 3).ended is False
    assert made.read([("[id] <= ?", [9])], 10, lowest=(7,)).ended is True
    assert len(server.questions) == 2, "neither a full page nor one down to the lowest key has to be asked about"


def test_a_server_that_sends_none_of_its_rows_is_told() -> None:
    server = Moving(pa.int32(), ())
    server.more = [1, 1]
    assert reader(server).read([("", [])], 10).ended is True
    server.more = [1] * 3
    with pytest.raises(SourceUnreachable, match=r"dbo\.t: the server answers that there are rows, and sends none"):
        reader(server).read([("", [])], 10)


class BreakingOff:
    """Runs the queries, and hands out only the first rows of some results."""

    schema = pa.schema([pa.field(name, pa.int32()) for name in "abc"])

    def __init__(self, database: duckdb.DuckDBPyConnection, lost: Iterator[int]) -> None:
        self._database, self._lost = database, lost

    def _run(self, sql: str, values: Sequence[Any]) -> duckdb.DuckDBPyConnection:
        return self._database.execute(sqlglot.transpile(sql, read="tsql", write="duckdb")[0], list(values) or None)

    def rows(self, sql: str, values: Sequence[Any], **_: Any) -> list[tuple[Any, ...]]:
        return self._run(sql, values).fetchall()

    def batches(self, sql: str, values: Sequence[Any], *_: Any, **__: Any) -> Iterator[pa.RecordBatch]:
        found = self._run(sql, values).fetchall()
        for row in found[: max(1, len(found) - next(self._lost, 0))]:
            yield pa.RecordBatch.from_pylist([dict(zip("abc", row, strict=True))], BreakingOff.schema)


@given(
    width=st.integers(1, 3),
    rows=st.sets(st.tuples(st.integers(-2, 2), st.integers(-2, 2), st.integers(0, 2)), max_size=30),
    size=st.integers(1, 12),
    lost=st.lists(st.integers(0, 9), max_size=40),
)
def test_results_that_break_off_lose_no_row(
    width: int, rows: set[tuple[int, int, int]], size: int, lost: list[int]
) -> None:
    """SPEC F4: whatever a driver takes for the end of a result."""
    rows = {row for row in rows if row[width:] == (0,) * (3 - width)}
    columns = tuple(SqlColumn(name, "int", 4, 10, 0, nullable=False) for name in "abc")
    queries = TableQueries("t", columns, columns[:width], None, (), None)
    with duckdb.connect() as database:
        database.execute("CREATE TABLE t (a INT, b INT, c INT)")
        if rows:
            database.executemany("INSERT INTO t VALUES (?, ?, ?)", [list(row) for row in rows])
        connection: Any = BreakingOff(database, iter(lost))
        made, found = PageReader("dbo.t", connection, queries, connection.schema, SETTINGS), []
        page, below = None, None
        while page is None or not page.ended:
            page = made.read(queries.below((9,) * width, below), size)
            found += [tuple(row.values()) for batch in page.batches for row in batch.to_pylist()]
            below = page.key
    assert found == sorted(rows, reverse=True)
