"""The source's clock in the cursor column's own terms: its type, its precision, its zone.

A column stamped by GETDATE() holds the server's local time; compared with UTC it would be hours off, and hours of
changes would be lost. So the upper end of a window is the same clock the column is stamped by.
"""

from __future__ import annotations

import logging
from typing import Any

import pyarrow as pa
from sync_rules.batch_info import KeyValue
from sync_rules.exits import ConfigurationError, SourceUnreachable, SyncError
from sync_rules.incremental import Clock

from tap_mssql import survey
from tap_mssql.client import Connection
from tap_mssql.discovery import TableName, optional
from tap_mssql.queries import INTEGERS, TableQueries
from tap_mssql.sql_types import SqlColumn

_LOG = logging.getLogger("tap-mssql")
MOMENTS = ("date", "datetime", "smalldatetime", "datetime2", "datetimeoffset")
LONG_AGO = "1901-01-01T00:00:00"
"""Before any change, and within every type's range and a lookback of it."""
_PERIOD = """
SELECT 1 FROM sys.columns c WHERE c.object_id = OBJECT_ID(?) AND c.name = ? AND c.generated_always_type IN (1, 2)
"""
_READ_ONLY = "SELECT 1 WHERE CAST(DATABASEPROPERTYEX(DB_NAME(), 'Updateability') AS nvarchar(128)) = 'READ_ONLY'"
"""One row on a secondary replica, too, which sys.databases does not call read-only."""
_COUNTERS = ("timestamp", *INTEGERS)


def can_be_cursor(column: SqlColumn) -> bool:
    """Whether the column's type can say what changed since."""
    return column.base in (*MOMENTS, *_COUNTERS)


def counts(column: SqlColumn) -> bool:
    """Whether the cursor is a number, and no moment."""
    return column.base in _COUNTERS


def text_type(column: SqlColumn) -> pa.DataType:
    """The Arrow type of the column's exact text, or number."""
    return pa.int64() if counts(column) else pa.large_string()


def read(connection: Connection, queries: TableQueries, zone: str, table: str) -> Clock:
    """The clock now. `zone` is `local` (GETDATE and its family) or `utc`, and matters for types without a zone."""
    cursor = queries.cursor
    utc, offset, now = _asked(connection, cursor, zone, table)
    if cursor is not None and cursor.base in INTEGERS:
        (highest,) = connection.rows(*queries.highest_cursor(), table=table)[0]
        now = INTEGERS[cursor.base] if highest is None else highest  # of an empty table all that come lie above
    naive_local = cursor is not None and cursor.base not in (*_COUNTERS, "datetimeoffset") and zone == "local"
    return Clock(
        now=int(now) if cursor is not None and cursor.base in _COUNTERS else str(now),
        # Zones are quarters of an hour apart; the two clocks may be read on either side of a full minute.
        utc_offset_minutes=round(int(offset) / 15) * 15 if naive_local else 0,
        started_at=f"{str(utc)[:26]}+00:00",
        never_falls=cursor is not None and cursor.base == "timestamp",
    )


def zone_of(connection: Connection, table: str, cursor: SqlColumn | None, setting: str) -> str:
    """The setting, unless the server itself stamps the column: a temporal table's periods are in UTC."""
    if cursor is None or cursor.base != "datetime2":
        return setting
    return "utc" if optional(connection, _PERIOD, [table, cursor.name], quietly=True) else setting


def gap(connection: Connection, cursor: SqlColumn | None) -> str:
    """Why rows may be committed below a number that was read already; empty where they cannot, or a lookback helps."""
    if cursor is not None and cursor.base in INTEGERS:
        return "counts and has no lookback, as a rowversion needs none and a modification time has one"
    if cursor is not None and cursor.base == "timestamp" and optional(connection, _READ_ONLY, quietly=True):
        return "is of a database that is written elsewhere, whose open transactions this replica does not know"
    return ""


def newest(connection: Connection, queries: TableQueries, name: TableName, now: KeyValue) -> KeyValue:
    """Where the first incremental sync takes over from a full one: the clock, or the newest stamp if that is lower.

    An application may stamp rows by a clock that is behind the server's, further than a lookback reaches. The newest
    stamp is asked for only where an index has it at hand. Where no row has one, all that come later are to be read.
    """
    cursor = queries.cursor
    if cursor is None or cursor.base not in MOMENTS or not survey.leads(connection, name, cursor.name):
        return now
    sql, values = queries.newest_cursor(now)
    found = connection.rows(sql, values, table=str(name))
    if found:
        return str(found[0][0])
    return LONG_AGO[:10] if cursor.base == "date" else LONG_AGO


def _asked(connection: Connection, cursor: SqlColumn | None, zone: str, table: str) -> tuple[Any, ...]:
    """The clocks. Where a server knows the local one alone, and no cursor is stamped by UTC, it serves for both."""
    question = _question(cursor, zone)
    try:
        return connection.rows(question, table=table)[0]
    except SyncError as error:
        if isinstance(error, SourceUnreachable) or "SYSUTCDATETIME" in _now(cursor, zone):
            raise
        found = connection.rows(question.replace("SYSUTCDATETIME", "SYSDATETIME"), table=table)[0]
        _LOG.warning("%s; the server's local clock is taken for UTC", error)
        return found


def _question(cursor: SqlColumn | None, zone: str) -> str:
    """One row: UTC, the local clock's distance from it in minutes, the clock in the cursor's terms."""
    utc = "CONVERT(varchar(33), SYSUTCDATETIME(), 126)"
    offset = "DATEDIFF(minute, SYSUTCDATETIME(), SYSDATETIME())"
    return f"SELECT {utc}, {offset}, {_now(cursor, zone)}"


def _now(cursor: SqlColumn | None, zone: str) -> str:
    if cursor is None or cursor.base in INTEGERS:
        return "0"
    if cursor.base == "timestamp":
        # Rows of transactions still open have higher row versions than this: they are the next run's.
        return "CAST(MIN_ACTIVE_ROWVERSION() AS bigint) - 1"
    if cursor.base not in MOMENTS:
        raise ConfigurationError(f"{cursor.name} cannot be a cursor: its type is {cursor.declared}")
    if cursor.base == "datetimeoffset":
        return f"CONVERT(varchar(33), CAST(SYSUTCDATETIME() AS datetime2({cursor.scale})), 126)"
    clock = "SYSUTCDATETIME()" if zone == "utc" else "SYSDATETIME()"
    return f"CONVERT(varchar(33), CAST({clock} AS {cursor.declared}), 126)"
