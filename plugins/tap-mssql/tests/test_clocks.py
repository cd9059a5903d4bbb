"""Which clock a cursor is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sync_rules.exits import SyncError
from tap_mssql import clocks
from tap_mssql.queries import TableQueries
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


class Brasilia:
    """A server three hours behind UTC, which reads its two clocks on either side of a full minute."""

    def rows(self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog") -> list[tuple[Any, ...]]:
        del values, table
        hour = "12" if "CAST(SYSUTCDATETIME()" in sql else "09"
        return [("2025-06-01T12:00:00.0000000", -181, f"2025-06-01T{hour}:00:00.0000000")]


@pytest.mark.parametrize(
    ("base", "zone", "hour", "offset"),
    [
        ("datetime2", "local", "09", -180),
        ("datetime2", "utc", "12", 0),
        ("datetime", "local", "09", -180),
        ("datetimeoffset", "local", "12", 0),
    ],
)
def test_the_clock_is_the_one_that_stamps_the_column(base: str, zone: str, hour: str, offset: int) -> None:
    """SPEC I8. By another one hours of changes would be lost, or read again by each run."""
    server: Any = Brasilia()
    cursor = SqlColumn("mod_ts", base, 8, 27, 7, nullable=False)
    clock = clocks.read(server, TableQueries("t", (cursor,), (), cursor, (), None), zone, "dbo.t")
    assert str(clock.now).startswith(f"2025-06-01T{hour}:00")
    assert clock.utc_offset_minutes == offset
    assert clock.started_at == "2025-06-01T12:00:00.000000+00:00"


class Local(Brasilia):
    """One that does not know UTC."""

    def rows(self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog") -> list[tuple[Any, ...]]:
        if "SYSUTCDATETIME" in sql:
            raise SyncError("'SYSUTCDATETIME' is not a recognized built-in function name")
        return [("2025-06-01T09:00:00.0000000", 0, "2025-06-01T09:00:00.0000000")]


def test_a_server_that_does_not_know_utc_is_read_by_its_own_clock(caplog: pytest.LogCaptureFixture) -> None:
    """Unless the cursor is stamped in UTC: hours of changes could be taken for read."""
    server: Any = Local()
    cursor = SqlColumn("mod_ts", "datetime2", 8, 27, 7, nullable=False)
    queries = TableQueries("t", (cursor,), (), cursor, (), None)
    clock = clocks.read(server, queries, "local", "dbo.t")
    assert (clock.now, clock.utc_offset_minutes) == ("2025-06-01T09:00:00.0000000", 0)
    assert "local clock is taken for UTC" in caplog.text
    with pytest.raises(SyncError, match="SYSUTCDATETIME"):
        clocks.read(server, queries, "utc", "dbo.t")
