"""What discovery finds, and what it does without where a server does not tell (SPEC O2)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from sync_rules.exits import SyncError
from tap_mssql.client import connect
from tap_mssql.discovery import TableName, describe
from tap_mssql.tap import TapMssql


class Guarded:
    """A real connection to a server that refuses one catalog view."""

    def __init__(self, inner: Any, refused: str) -> None:
        self._inner, self._refused = inner, refused

    def rows(self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog") -> list[tuple[Any, ...]]:
        if self._refused in sql:
            raise SyncError(f"{table}: the server refused a query")
        found: list[tuple[Any, ...]] = self._inner.rows(sql, values, table=table)
        return found


@pytest.mark.parametrize("refused", ["sys.indexes", "sys.partitions"])
def test_a_view_that_is_refused_costs_what_it_tells(source: Any, table: Any, refused: str) -> None:
    table("dbo.guarded", "code int NOT NULL PRIMARY KEY, v AS (code + 1), w int SPARSE NULL", "(1, 2)")
    opened = connect(TapMssql(config=source.config).config, logging.getLogger())
    try:
        found = describe(Guarded(opened, refused), [TableName("dbo", "guarded")])[0]
    finally:
        opened.close()
    assert [column.name for column in found.columns] == ["code", "v", "w"]
    assert (found.natural_key, found.rows is None) == ((), False) if refused == "sys.indexes" else (("code",), True)


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
