"""One page, as it is read from a server whose rows move meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest
from tap_mssql.errors import SourceChanged
from tap_mssql.pages import PageReader
from tap_mssql.queries import TableQueries
from tap_mssql.sql_types import SqlColumn

SETTINGS = {"page_size": 10, "page_bytes": 1_000_000, "fetch_size": 2, "driver": "mssql-python"}


class Moving:
    """Answers each query with the next of these pages of keys, two rows a batch; then with the last."""

    def __init__(self, kind: pa.DataType, *pages: Sequence[Any]) -> None:
        self._kind, self._pages, self.asked = kind, pages, 0

    def batches(self, *_: Any, table: str, most: int | None = None) -> Iterator[pa.RecordBatch]:
        del table, most
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
