"""The thread that a driver's calls run in."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import pyarrow as pa
import pytest
from tap_mssql.watch import WatchedConnection


class Driver:
    """Brings three batches of so many bytes each, and counts those it was asked for."""

    def __init__(self, size: int) -> None:
        self._batch = pa.record_batch([pa.array([bytes(size)], pa.large_binary())], names=["v"])
        self.fetched = 0

    def rows(
        self, sql: str, values: Sequence[Any] = (), *, table: str = "", most: int | None = None
    ) -> list[tuple[Any, ...]]:
        return [(self.fetched,)]

    def batches(
        self,
        sql: str,
        values: Sequence[Any],
        fetch_size: int,
        schema: pa.Schema,
        *,
        table: str,
        most: int | None = None,
    ) -> Generator[pa.RecordBatch, None, None]:
        del sql, values, fetch_size, schema, table, most
        for _ in range(3):
            self.fetched += 1
            yield self._batch

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(("size", "fetched"), [(10, [2, 3, 3]), (40_000_000, [1, 2, 3])])
def test_the_next_fetch_is_made_ahead_unless_values_are_large(size: int, fetched: list[int]) -> None:
    watched = WatchedConnection(Driver(size), 10)
    found = []
    for batch in watched.batches("", [], 1, pa.schema([]), table="t"):
        assert batch.nbytes >= size
        # Asked in the driver's thread, so after whatever it was asked for before.
        found.append(watched.rows("")[0][0])
    watched.close()
    assert found == fetched
