"""What psycopg raises, told in one line and without a row's values."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import errors as pg
from sync_rules.bookmarks import forgotten
from sync_rules.exits import ConfigurationError, DataRefused, Exit, SyncError, TableInUse, TargetUnreachable

_QUOTED = re.compile(r"[\"\u00ab\u00bb\u201c-\u201f].*[\"\u00ab\u00bb\u201c-\u201f]", re.DOTALL)
"""A server that speaks German, French or Spanish quotes as these languages do."""
_PASSING = re.compile(
    "starting up|shutting down|too many|remaining connection slots|recovery mode|not yet accept"
    "|iniciando|desligando|muit[ao]s (clientes|conex)|modo de recupera|conexões restantes"
    "|iniciándose|apagándose|demasiad[ao]s (clientes|conex)|conexiones restantes|aún no está aceptando"
    "|données se lance|s'arrête|trop de c|cours de restauration|connexions restants|accepte pas encore"
    "|startet|fährt herunter|zu viele Verbindungen|Wiederherstellungsmodus|verbleibenden Verb|nimmt noch keine Verb"
    "|query_wait_timeout|server_login_retry|pgbouncer cannot connect|max_client_conn|client_connections"
)
"""Before it knows who asks, a server speaks the language of its own `lc_messages`; at last, PgBouncer's words for a
server that does not answer it, and for clients that are too many."""
_LOST = (pg.AdminShutdown, pg.CrashShutdown, pg.CannotConnectNow, pg.ConnectionException, pg.IdleSessionTimeout)
_SETTINGS = (
    pg.ReadOnlySqlTransaction,
    pg.InvalidSchemaName,
    pg.InvalidCatalogName,
    pg.DependentObjectsStillExist,
    pg.FeatureNotSupported,
    pg.ObjectNotInPrerequisiteState,
    pg.ConfigurationLimitExceeded,  # temp_file_limit
)


_NUMBERS = ("varsup.c", "multixact.c")
"""Where the server refuses to write until a VACUUM, for the numbers of transactions run out. It calls that a limit of
the program, as a row that is too large."""
_LANGUAGES = ("plpy_elog.c", "plperl.c", "pltcl.c")
"""Where the server passes on what functions in Python, Perl and Tcl raise. RAISE is PL/pgSQL's `exec_stmt_raise`."""


class LedgerGap(SyncError):
    """The ledger and the tap's state do not meet: the staging table was lost, or the state is of another database.

    A restart helps: the last STATE takes the stream's bookmark back, by `back`; by default so that the next run begins
    a new version.
    """

    exit = Exit.LEDGER_GAP

    def __init__(self, message: str, back: Callable[[object], dict[str, Any] | None] = forgotten) -> None:
        super().__init__(message)
        self.back = back


def is_about_data(error: psycopg.Error) -> bool:
    """Whether a row's values are the reason, so that other rows may still be stored."""
    of_data = isinstance(error, pg.DataError | pg.IntegrityError | pg.ProgramLimitExceeded)
    return (of_data and error.diag.source_file not in _NUMBERS) or _is_raised(error)


def _is_raised(error: psycopg.Error) -> bool:
    """Whether a function raised it by itself, as triggers do that refuse a row, with whatever code it chose."""
    place = error.diag
    return place.source_function == "exec_stmt_raise" or place.source_file in _LANGUAGES or _is_of(error, "P0")


def _is_of(error: psycopg.Error, *classes: str) -> bool:
    return bool(error.sqlstate) and str(error.sqlstate)[:2] in classes


def reason(error: psycopg.Error) -> str:
    """Why a row was refused, without any of its values.

    PostgreSQL quotes values in its messages and repeats them in DETAIL and CONTEXT; names of columns and constraints
    come in fields of their own.
    """
    diagnosis = error.diag
    text = diagnosis.message_primary or type(error).__name__
    if _is_of(error, "22", "23"):
        text = _QUOTED.sub("...", text)  # the database may have no other character for it
    if _is_raised(error):
        # Its words are the function's own, and may hold any of the row's values anywhere.
        text = "an exception was raised"
    where = diagnosis.column_name or _column_in_context(diagnosis.context)
    if where:
        text += f" (column {where})"
    if diagnosis.constraint_name:
        text += f" (constraint {diagnosis.constraint_name})"
    if function := re.search(r"^PL/pgSQL function \S+", diagnosis.context or "", re.MULTILINE):
        text += f" (in {function[0]})"
    return text


def _column_in_context(context: str | None) -> str | None:
    """COPY names the column only in CONTEXT: `COPY t, line 3, column cpf: "…"`; what follows the name is a value."""
    match = re.match(r"COPY .*?, line \d+, column ([^:\n]+)", context or "")
    return match.group(1).rstrip(",") if match else None


def describe(error: psycopg.Error) -> str:
    """The error in one line, for any error."""
    if error.sqlstate is None:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return lines[0] if lines else type(error).__name__
    return f"{reason(error)} [SQLSTATE {error.sqlstate}]"


def tell(error: psycopg.Error, doing: str = "") -> SyncError:
    """The error that ends the process, with the exit code of its kind. `doing` says what was tried, and where."""
    line = f"{doing}: {describe(error)}" if doing else describe(error)
    if isinstance(error, pg.DiskFull):
        return TargetUnreachable(f"{line}; the server's disk is full: make room, then run again")
    if isinstance(error, _LOST) or (isinstance(error, psycopg.OperationalError) and error.sqlstate is None):
        return TargetUnreachable(line)
    if isinstance(error, psycopg.InterfaceError):
        return TargetUnreachable(line)
    if isinstance(error, _SETTINGS):
        return ConfigurationError(line)
    if _is_of(error, "08", "53", "57", "58") or error.diag.source_file in _NUMBERS:
        return TargetUnreachable(line)
    if isinstance(error, pg.LockNotAvailable):
        return TableInUse(f"{line}; another session kept a lock (activation_patience_seconds): run again when it ended")
    # Class 42: a right, a name, a definition that does not fit. A type that changed under a run's feet fits the next.
    mismatch = isinstance(error, pg.DatatypeMismatch)
    if _is_of(error, "42") and not mismatch:
        return ConfigurationError(line)
    if is_about_data(error):
        return DataRefused(line)
    return SyncError(line)


def tell_connecting(error: psycopg.Error, where: str) -> SyncError:
    """As `tell`, for a connection that could not be made: libpq gives no SQLSTATE then, only the server's words.

    A server that answered and refused says FATAL: the settings are wrong, unless the state is a passing one.
    """
    text = " ".join(str(error).split()).removeprefix("connection failed: ")
    if "FATAL" in text and not _PASSING.search(text):
        return ConfigurationError(f"{where} refuses the connection: {text}: check user, password and database")
    return TargetUnreachable(f"{where} cannot be reached: {text}")
