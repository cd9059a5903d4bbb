"""How often the server is asked: where it is far away each time counts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from tap_mssql import client, odbc
from tap_mssql.tap import TapMssql


@pytest.mark.parametrize(
    ("driver", "place", "name"), [("msodbcsql", odbc.Statement, "execute"), ("mssql-python", client, "_execute")]
)
def test_a_connection_is_asked_after_only_where_rows_may_be_missing(
    source: Any, monkeypatch: pytest.MonkeyPatch, driver: str, place: Any, name: str
) -> None:
    """Asked once more after each answer, a near server looked far away, and had twice the readers."""
    asked: list[str] = []
    schema = pa.schema([pa.field("a", pa.int32())])
    execute = getattr(place, name)

    def listen(executing: Any, sql: str, values: Sequence[Any]) -> None:
        asked.append(sql)
        execute(executing, sql, values)

    opened = client.connect(TapMssql(config={**source.config, "driver": driver}).config, logging.getLogger())
    monkeypatch.setattr(place, name, listen)
    try:
        client.round_trip_seconds(opened)
        assert asked == ["SELECT 1"] * 3
        for most, times in ((2, 1), (3, 2), (None, 2)):
            asked.clear()
            found = list(opened.batches("SELECT 5 AS a UNION ALL SELECT 6", [], 10, schema, table="t", most=most))
            assert sum(batch.num_rows for batch in found) == 2
            assert len(asked) == times
            asked.clear()
            assert opened.rows("SELECT 5 AS a UNION ALL SELECT 6", most=most) == [(5,), (6,)]
            assert len(asked) == times
    finally:
        opened.close()
