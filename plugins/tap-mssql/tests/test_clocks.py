"""Which clock a cursor is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tap_mssql import clocks
from tap_mssql.sql_types import SqlColumn


class Temporal:
    """A server whose table has a period of system time, from `since` on."""

    def rows(self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog") -> list[tuple[Any, ...]]:
        del table
        return [(1,)] if "generated_always_type" in sql and "since" in values else []


@pytest.mark.parametrize(("name", "zone"), [("since", "utc"), ("mod_ts", "local")])
def test_a_period_is_stamped_in_utc(name: str, zone: str) -> None:
    server: Any = Temporal()
    assert clocks.zone_of(server, "[dbo].[t]", SqlColumn(name, "datetime2", 8, 27, 7, nullable=False), "local") == zone
