"""What a new connection is told before its first query: the language of its messages, and the isolation."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from sync_rules.exits import SourceUnreachable, SyncError

if TYPE_CHECKING:
    from tap_mssql.client import Connection

_LOG = logging.getLogger("tap-mssql")
_DATES = "SELECT dateformat, CAST(@@DATEFIRST AS int) FROM sys.syslanguages WHERE langid = @@LANGID"
_ENGLISH_DATES = ("mdy", 7)


def begin(connection: Connection, where: str, isolation: str) -> None:
    """Messages in English, which errors.py knows, where the server lets them be chosen; the isolation, in any case.

    With the language SQL Server changes how it reads dates and where a week begins, too: a view that casts `03/04/2024`
    or asks for a weekday would answer otherwise than the login's other queries. Both are put back.
    """
    dates = _quietly(connection, _DATES, where)
    _quietly(connection, "SET LANGUAGE us_english", where)
    if dates and (back := (str(dates[0][0]).strip(), int(dates[0][1]))) != _ENGLISH_DATES:
        order, first = back
        if re.fullmatch("[dmy]{3}", order):
            _quietly(connection, f"SET DATEFORMAT {order}; SET DATEFIRST {first}", where)
    if isolation == "snapshot":
        connection.rows("SET TRANSACTION ISOLATION LEVEL SNAPSHOT", table=where)
        return
    try:
        # Said, though it is the usual one: a data source, a pool or the server's kind may begin with another.
        connection.rows("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", table=where)
    except SourceUnreachable:
        raise
    except SyncError as error:
        _LOG.warning("%s: READ COMMITTED is not taken, rows may be read that are never committed: %s", where, error)


def _quietly(connection: Connection, sql: str, where: str) -> list[tuple[Any, ...]]:
    """The answer; none where the server does not know the question."""
    try:
        return connection.rows(sql, table=where)
    except SourceUnreachable:
        raise
    except SyncError as error:
        _LOG.debug("%s", error)
        return []
