"""The thread that a driver's calls run in."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from typing import Any

import pyarrow as pa
import pytest
from sync_rules.exits import SourceUnreachable
from tap_mssql import watch
from tap_mssql.watch import WatchedConnection


class Driver:
    """Brings three batches of so many bytes each, and counts those it was asked for."""

    def __init__(self, size: int) -> None:
        self._batch = pa.record_batch([pa.array([bytes(size)], pa.large_binary())], names=["v"])
        self.fetched, self.ended_in = 0, ""

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
        asked_on: bool = False,
    ) -> Generator[pa.RecordBatch, None, None]:
        del sql, values, fetch_size, schema, table, most, asked_on
        self.result = self._fetch()  # held, as a traceback holds it: it does not end by being forgotten
        return self.result

    def _fetch(self) -> Generator[pa.RecordBatch, None, None]:
        try:
            for _ in range(3):
                self.fetched += 1
                yield self._batch
        finally:
            self.ended_in = threading.current_thread().name

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


def test_a_result_that_is_not_read_to_its_end_is_ended_in_the_drivers_thread() -> None:
    """It may be within its next fetch just then."""
    driver = Driver(10)
    watched = WatchedConnection(driver, 10)
    found = watched.batches("", [], 1, pa.schema([]), table="t")
    next(found)
    found.close()
    watched.rows("")
    assert driver.ended_in == "tap-mssql driver"
    watched.close()


class Stuck(Driver):
    """Hears neither a time-out nor that it is closed."""

    def __init__(self) -> None:
        super().__init__(10)
        self.let_go = threading.Event()

    def rows(self, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        self.let_go.wait(60)
        return []


def test_a_driver_that_is_stuck_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "GRACE_SECONDS", 0)
    monkeypatch.setattr(watch, "_CLOSE_SECONDS", 0.01)
    driver = Stuck()
    watched = WatchedConnection(driver, 0.01)
    with pytest.raises(SourceUnreachable, match="the server sent nothing"):
        watched.rows("")
    watched.close()
    driver.let_go.set()
