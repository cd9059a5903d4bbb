"""Floats in a sql_variant on a server that cannot write them exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sync_rules.exits import ConfigurationError
from tap_mssql import variants
from tap_mssql.discovery import TableName
from tap_mssql.sql_types import SqlColumn

TABLE = TableName("dbo", "t")
COLUMNS = [
    SqlColumn("id", "int", 4, 10, 0, nullable=False),
    SqlColumn("a", "sql_variant", 8016, 0, 0, nullable=True),
    SqlColumn("b", "sql_variant", 8016, 0, 0, nullable=True),
]


class Server:
    """One of 2014 or younger, with floats in some columns."""

    def __init__(self, *, old: bool, floats: Sequence[str] = ()) -> None:
        self._old, self._floats = old, floats
        self.asked: list[str] = []

    def rows(self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog") -> list[tuple[Any, ...]]:
        del values, table
        self.asked.append(sql)
        if "ProductVersion" in sql:
            return [(1,)] * self._old
        return [(1,)] if any(f"[{name}]" in sql for name in self._floats) else []


def check(server: Any, columns: Sequence[SqlColumn] = COLUMNS) -> None:
    variants.check(server, TABLE, columns)


def test_floats_on_an_old_server_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"dbo\.t: b holds float or real values"):
        check(Server(old=True, floats=["b"]))


def test_all_else_is_read() -> None:
    check(Server(old=True))
    check(Server(old=False, floats=["a", "b"]))
    plain = Server(old=True, floats=["a"])
    check(plain, COLUMNS[:1])
    assert not plain.asked
