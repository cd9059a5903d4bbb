"""Driver errors as one line each, with the exit code that tells whether a restart can help.

The drivers give an SQLSTATE (ODBC itself, pyodbc) or its standard text (mssql-python); the server's own message is told
apart by its English text, which the session asks for (`SET LANGUAGE us_english`).
"""

from __future__ import annotations

import re

from sync_rules.exits import ConfigurationError, SourceUnreachable, SyncError

from tap_mssql.odbc import OdbcError

_STATES = {
    "Client unable to establish connection": "08001",
    "Connection not open": "08003",
    "Server rejected the connection": "08004",
    "Connection failure during transaction": "08007",
    "Communication link failure": "08S01",
    "Invalid authorization specification": "28000",
    "Base table or view not found": "42S02",
    "Column not found": "42S22",
    "Syntax error or access violation": "42000",
    "Timeout expired": "HYT00",
    "Connection timeout expired": "HYT01",
    "Operation canceled": "HY008",
    "Data source name not found and no default driver specified": "IM002",
    "Specified driver could not be loaded": "IM003",
}
_LOST = ("08001", "08003", "08004", "08007", "08S01", "HYT01")
_STARTING = (
    "script upgrade mode",
    "only administrator",
    "only one administrator",
    "only have one user at a time",
    "shutdown is in progress",
    "server is shut down",
    "being recovered",
    "in transition",
    "not currently available",
    "not currently accessible",
    "currently not accessible",
    "primary or secondary role",
    "middle of a restore",
    "currently busy",
    "login failed due to timeout",
    "login to read-secondary failed",
)
"""Of a server or database that starts, stops or moves: some of these say `Login failed`, and a restart helps."""
_CERTIFICATE = ("certificate", "target principal name")
_NO_COMMON_TLS = (
    "unsupported protocol",
    "wrong version number",
    "no protocols available",
    "handshake failure",
    "no shared cipher",
    "too small",
    "too weak",
)
"""OpenSSL's words where the two sides' rules for TLS do not meet. Its others are of a connection that was lost."""
_PASSING = {
    "kill state": "the session was killed on the server",
    "session is terminated": "the server ended the session: it took too much of what others share",
    "session has been terminated": "the server ended the session: it took too much of what others share",
    "lock request time out": "a lock was not given within the session's LOCK_TIMEOUT",
    "deadlock": "the server chose the query as a deadlock victim",
    "snapshot isolation transaction": "the table or the database was altered beneath a snapshot",
    "accessing version": "the server's version store lost a row: tempdb may be full",
    "hold row versions": "the server's version store lost a row: tempdb may be full",
    "insufficient system memory": "the server is short of memory",
    "insufficient memory available": "the server is short of memory",
    "memory resources": "the server is short of memory",
    "memory grant": "the server is short of memory",
    "cannot obtain a lock resource": "the server is short of memory",
    "limit for the": "the server takes no more requests just now",
    "too busy": "the server takes no more requests just now",
    "not enough resources": "the server takes no more requests just now",
    "waiting to optimize": "the server takes no more requests just now",
    "please try again": "the server asks to try again later",
    "minutes and try again": "the server asks to try again later",
    "could not continue scan": "rows were moved on the server while they were read",
    "unspecified error": "the server gave a result up and did not say why",
}
"""What others do on the server while a query runs, in its words and ours: the next run goes on."""
_NO_ACCESS = "is not able to access the database"
_VALUE = re.compile(r"(?<=\bvalue)(?: is|:| =)? *(?='|\(|[-+.\d])", re.IGNORECASE)
"""Where a value begins in a message of the server: `value 'x'`, `value: 'x'`, `value = 7`, `value is (7)`."""
_OF_THE_QUERY = re.compile(
    r"incorrect syntax near|could not find stored procedure|'\w+' is not a recognized", re.IGNORECASE
)
_PREFIXES = re.compile(r"^(\[[^\]]*\]\s*)+")


class SourceChanged(SyncError):
    """The table changed while it was read: the next run describes it afresh."""


class QueryRefused(SyncError):
    """The server does not run a query, for what it asks or for the values that it meets."""


class NotOfCodePage(Exception):
    """A text is not what its code page makes of it; `column` names the column."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


class NoDatabase(ConfigurationError):
    """The database could not be opened, though the login may be right."""


def state_and_text(error: Exception) -> tuple[str, str]:
    """The SQLSTATE, empty where none is known, and the message without the drivers' names in front."""
    if isinstance(error, OdbcError):
        return error.state, _PREFIXES.sub("", error.text).strip()
    driver_error = getattr(error, "driver_error", None)
    if driver_error is not None:
        text = str(getattr(error, "ddbc_error", ""))
        return _STATES.get(str(driver_error), ""), _PREFIXES.sub("", text).strip()
    arguments = error.args
    if len(arguments) >= 2 and isinstance(arguments[0], str) and len(arguments[0]) == 5:
        text = re.sub(r"\s*\(\d+\)\s*\(SQL\w+\)|\s*\(SQL\w+\)", "", str(arguments[1]))
        text = re.sub(r"^\[[0-9A-Z]{5}\]\s*", "", text.split(";")[0])
        return arguments[0], _PREFIXES.sub("", text).strip()
    return "", _PREFIXES.sub("", str(error)).strip()


def connecting(error: Exception, server: str, database: str, user: str | None) -> SyncError:
    """What an error while connecting means."""
    state, text = state_and_text(error)
    low = text.lower()
    if any(words in low for words in _STARTING):
        return SourceUnreachable(f"{server}: not ready yet: {_short(text)}")
    if "login failed" in low or state == "28000":
        if "cannot open database" in low:
            return NoDatabase(_no_database(server, database, user))
        if "login failed" not in low:  # before the session begins the server speaks its own language
            return NoDatabase(f"{server}: user {user} was not let in: {_short(text)}")
        if reason := re.search(r"(?:reason:|because) *(.+)", text, re.IGNORECASE):
            return ConfigurationError(f"{server}: login failed for user {user}: {_short(reason[1])}")
        # Of the two errors for a database that cannot be opened, mssql-python 1.16 tells the other: "Login failed".
        return NoDatabase(
            f"{server}: login failed for user {user}: check user, password, and that database {database} exists"
        )
    if "application intent is set to read only" in low:
        return ConfigurationError(
            f"{server}: this replica of database {database} takes connections of read intent only: name the primary, or"
            " take driver pyodbc and a dsn with ApplicationIntent=ReadOnly"
        )
    if "not allowed to access the server" in low:
        return ConfigurationError(f"{server}: its firewall lets this address not in: {_short(text)}")
    if "cannot open database" in low or "cannot open server" in low or _NO_ACCESS in low:
        return NoDatabase(_no_database(server, database, user))
    if any(words in low for words in _CERTIFICATE):
        return ConfigurationError(
            f"{server}: the server's certificate was not accepted: install its issuer, or set trust_server_certificate"
            " (which encrypt: strict does not regard)"
        )
    if "encryption not supported" in low or "does not support encryption" in low:
        return ConfigurationError(f"{server}: the server has no TLS, and encrypt asks for it: {_short(text)}")
    if "ssl provider" in low and any(words in low for words in _NO_COMMON_TLS):
        return ConfigurationError(f"{server}: no TLS that server and driver both allow: check encrypt: {_short(text)}")
    if "failed to load the driver" in low:
        return ConfigurationError(
            "mssql-python's driver could not be loaded: install libltdl7 and libkrb5-3, for mssql-odbc libssl3 (Debian)"
        )
    if state in ("IM002", "IM003") or "can't open lib" in low:
        return ConfigurationError("the ODBC driver or data source was not found: check odbc_driver and dsn")
    if "packet size" in low:
        return ConfigurationError(f"{server}: the packet size was refused: check packet_size")
    return SourceUnreachable(f"{server}: cannot be reached: {_short(text)}")


def _no_database(server: str, database: str, user: str | None) -> str:
    return f"{server}: database {database} does not exist, or user {user} may not open it"


def reading(error: Exception, table: str, timeout_seconds: int | None = None) -> SyncError:
    """What an error while querying means."""
    state, text = state_and_text(error)
    low = text.lower()
    for words, told in _PASSING.items():
        if words in low and "not allowed in this database" not in low:
            return SourceUnreachable(f"{table}: {told}; the next run goes on")
    if any(words in low for words in _STARTING):
        return SourceUnreachable(f"{table}: the server or the database stops or moves: {_without_values(text)}")
    refused = _refused(table, state, text)
    if refused:
        return ConfigurationError(f"{table}: {refused}")
    if state == "42S22" or "invalid column name" in low:
        return SourceChanged(
            f"{table}: a column is gone since the table was described; the next run describes it afresh"
        )
    if state == "HYT00" or "query timeout" in low:
        limit = f" of {timeout_seconds} s" if timeout_seconds else ""
        return SourceUnreachable(f"{table}: the query time-out{limit} passed; nothing is lost, run it again")
    if state in _LOST or (
        "connection" in low and ("closed" in low or "lost" in low or "reset" in low or "broken" in low)
    ):
        return SourceUnreachable(f"{table}: the connection was lost while reading; nothing is lost, run it again")
    if "unknown ddbc error" in low or "function sequence error" in low:
        # mssql-python 1.16 while it fetches: a query time-out leaves neither an SQLSTATE nor a word, or the wrong ones.
        return SourceUnreachable(
            f"{table}: reading ended without a reason, as it does where a query time-out passes amid a result;"
            " nothing is lost, run it again"
        )
    return QueryRefused(f"{table}: the server refused a query (SQLSTATE {state or 'unknown'}): {_without_values(text)}")


def _refused(table: str, state: str, text: str) -> str:
    """What is not there or not allowed, in words; empty where it is neither."""
    low = text.lower()
    named = re.search(r"'([^']+)'", text)
    name = named[1] if named else ""
    itself = not name or table.casefold().endswith(name.rpartition(".")[2].strip("[]").casefold())
    if "binding errors" in low:
        return "the view no longer fits what it reads: mend it, or have its owner run sp_refreshview"
    if _NO_ACCESS in low:
        other = re.search(r'the database "([^"]*)"', text)
        return f"the user may not open database {other[1] if other else ''}, which it reads"
    if "could not find server" in low:
        return f"it reads the linked server {name}, which is not there"
    if state == "42S02" or "invalid object name" in low:
        return "there is no such table or view in the database" if itself else f"it reads {name}, which is not there"
    if "permission was denied on the column" in low:
        return f"the user has no right to SELECT its column {name}: grant it, or leave the column out by `select`"
    if denied := re.search(r"(?:the )?([a-z][a-z ]*) permission was denied", text, re.IGNORECASE):
        if denied[1].upper() != "SELECT":  # a function that a view calls, the server's own views that it reads
            return f"the user has no right to {denied[1]}{f' {name}' if name else ''}, which reading it takes"
        return f"the user has no right to SELECT from {'it' if itself else f'{name}, which it reads'}"
    if "permission denied for" in low:  # PostgreSQL's words, where it speaks TDS
        return f"the user lacks a right: {_short(text)}"
    if "transaction isolation level is set to snapshot" in low:
        return "a memory-optimised table cannot be read in isolation snapshot: set isolation to read_committed"
    if "snapshot isolation" in low and "not allowed in this database" in low:
        return "the database does not allow snapshot isolation: set isolation"
    return ""


def _short(text: str) -> str:
    first = text.splitlines()[0] if text else "no answer"
    return first[:200].rstrip(". ")


def _without_values(text: str) -> str:
    """SQL Server quotes values in its messages ("converting the varchar value '...'"): they are left out.

    What a value holds is anything: quotes, line breaks, more than fits. So nothing after its beginning is shown. Not
    left out is the word of our own query that the server could not read, or what it does not have: values are bound.
    """
    if _OF_THE_QUERY.match(text):
        return _short(text)
    before = _VALUE.split(text, maxsplit=1)
    return _short(re.sub(r"'[^']*'", "'...'", before[0])) + (" '...'" if len(before) > 1 else "")
