"""A connection to SQL Server: by Microsoft's ODBC driver itself, by mssql-python, or by pyodbc.

All give the same two things: small results as tuples, and large ones as Arrow record batches.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from sync_rules.exits import ConfigurationError, SourceUnreachable, SyncError

from tap_mssql import errors, session
from tap_mssql.watch import WatchedConnection

if TYPE_CHECKING:
    import pyarrow as pa

    from tap_mssql.sql_types import SqlColumn

ENCODING = b"encoding"
"""The metadata of a schema's field that names, as Python does, the code page in which its text is to come."""
_LOG = logging.getLogger("tap-mssql")
_ATTEMPTS = 3
_KNOCK_SECONDS = 30
_SQL_BIGINT = -5
_SQL_WVARCHAR = -9
_PROVIDERS = {"mssql-python": "msodbcsql18", "mssql-odbc": "mssql-odbc"}
"""mssql-python's name for the ODBC driver that it loads, one a process. Left unsaid, a release of it may change it."""


class NoSuchHost(ConfigurationError):
    """Nobody knows the name. A resolver that has just lost its network says so, too: it is asked again."""


class Connection(Protocol):
    """What the tap needs of a driver's connection. Errors are SyncErrors that name the table."""

    def rows(
        self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog", most: int | None = None
    ) -> list[tuple[Any, ...]]:
        """All rows of a small result; `most` says how many there can be, so that none is missing where so many came."""

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
        """The result as record batches of up to `fetch_size` rows.

        `schema` is what the columns are to become: a driver without Arrow of its own builds them by it. `most` says how
        many rows there can be, as it does for `rows`; `asked_on`, that the caller asks for what may be missing, so that
        the connection need not be asked after. Closing the iterator early cancels the query.
        """

    def close(self) -> None:
        """Close it; may be called twice."""


def server_name(config: Mapping[str, Any]) -> str:
    """How messages name the server."""
    return str(config["dsn"]) if config.get("dsn") else f"{config['host']}:{config['port']}"


def connect(config: Mapping[str, Any], log: logging.Logger) -> Connection:
    """A connection by the `driver` setting; a server that cannot be reached or found is tried three times.

    Raises SourceUnreachable or ConfigurationError.
    """
    import tenacity

    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((SourceUnreachable, NoSuchHost)),
        stop=tenacity.stop_after_attempt(_ATTEMPTS) | tenacity.stop_after_delay(config["connect_timeout_seconds"]),
        wait=tenacity.wait_exponential(multiplier=0.5, max=10),
        before_sleep=lambda state: log.warning("%s; trying again", state.outcome and state.outcome.exception()),
        reraise=True,
    )
    opened: Connection = attempts(_open, {**config, "driver": driver_for(config)})
    return WatchedConnection(opened, float(config["query_timeout_seconds"]))


def driver_for(config: Mapping[str, Any], columns: Sequence[SqlColumn] = ()) -> str:
    """The driver that reads a table of these columns: the setting, where it can.

    Values without a bound are read by mssql-python, and so is everything where the compiled part is not there.
    """
    driver = str(config["driver"])
    if driver == "msodbcsql" and (any(column.unbound for column in columns) or not _compiled()):
        return "mssql-python"
    return driver


@cache
def _compiled() -> bool:
    """Whether the compiled part can be used; said once a process where it cannot."""
    from tap_mssql import odbc_columns

    try:
        odbc_columns.library()
    except (OSError, AttributeError) as error:
        _LOG.warning(
            "reading by driver mssql-python, which takes longer: what msodbcsql needs is not compiled (%s);"
            " `python -m tap_mssql.native` does it",
            error,
        )
        return False
    return True


def round_trip_seconds(connection: Connection) -> float:
    """What a question costs that the server need not think about: the best of three."""
    seen = []
    for _ in range(3):
        started = time.perf_counter()
        connection.rows("SELECT 1", most=1)
        seen.append(time.perf_counter() - started)
    return min(seen)


def _knock(config: Mapping[str, Any]) -> None:
    """See whether anything listens there. The ODBC driver would try for the whole connect time-out before it says so.

    Raises NoSuchHost for a name that nobody knows, SourceUnreachable when nothing answers.
    """
    if config.get("dsn"):
        return
    address = (str(config["host"]), int(config["port"]))
    try:
        with socket.create_connection(address, timeout=min(_KNOCK_SECONDS, config["connect_timeout_seconds"])):
            return
    except (socket.gaierror, UnicodeError) as error:  # the latter: `.`, or a name that is too long for one
        if isinstance(error, socket.gaierror) and error.errno != socket.EAI_NONAME:
            raise SourceUnreachable(f"{server_name(config)}: the name of the host could not be looked up") from error
        raise NoSuchHost(
            f"{server_name(config)}: there is no host of that name: check host, which is the name alone; a named"
            " instance is reached by its port"
        ) from error
    except OSError as error:
        told = "nothing answers" if isinstance(error, TimeoutError) else (error.strerror or "no answer").lower()
        raise SourceUnreachable(f"{server_name(config)}: cannot be reached: {told}") from error


def _open(config: Mapping[str, Any]) -> Connection:
    _knock(config)
    try:
        connection = _by_driver(config)
    except ConfigurationError:
        raise
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"the driver {config['driver']} is not installed: {error.name}") from error
    except ImportError as error:
        raise ConfigurationError(f"the driver {config['driver']} cannot be loaded: {error}") from error
    except Exception as error:
        told = errors.connecting(error, server_name(config), str(config.get("database")), config.get("user"))
        if isinstance(told, errors.NoDatabase) and (state := _state_of_database(config)):
            raise SourceUnreachable(
                f"{server_name(config)}: database {config['database']} is not ready: it is {state}"
            ) from error
        raise told from error
    try:
        session.begin(connection, f"session on {server_name(config)}", str(config.get("isolation_used")))
    except BaseException:
        connection.close()  # nobody else has it
        raise
    return connection


def _by_driver(config: Mapping[str, Any]) -> Connection:
    if config["driver"] == "pyodbc":
        from tap_mssql.client_pyodbc import PyodbcConnection

        return PyodbcConnection(config)
    if config["driver"] == "msodbcsql":
        from tap_mssql.client_odbc import OdbcConnection

        return OdbcConnection(config)
    return MssqlPythonConnection(config)


def _state_of_database(config: Mapping[str, Any]) -> str:
    """Why a database cannot be opened just now: RECOVERING, SINGLE_USER; empty where it is not there, or not told."""
    if config.get("database") in (None, "master"):
        return ""
    try:
        master = _by_driver({**config, "database": "master"})
    except Exception:  # whatever it is, the first error is the one to tell
        return ""
    try:
        sql = (
            "SELECT CASE WHEN state_desc <> 'ONLINE' THEN state_desc WHEN collation_name IS NULL"
            " THEN 'ONLINE and not open, as amid a failover' ELSE user_access_desc END FROM sys.databases"
            " WHERE name = ? AND (state_desc <> 'ONLINE' OR collation_name IS NULL OR user_access_desc <> 'MULTI_USER')"
        )
        found = master.rows(sql, [config["database"]])
        return str(found[0][0]) if found else ""
    except SyncError:
        return ""
    finally:
        master.close()


def connection_string(config: Mapping[str, Any]) -> str:
    """The ODBC connection string. It holds the password: it goes to the driver and nowhere else."""
    words: dict[str, Any] = {}
    if config.get("dsn"):
        words["DSN"] = config["dsn"]
    else:
        if config["driver"] == "pyodbc":
            words["DRIVER"] = config["odbc_driver"]
        words["SERVER"] = f"{config['host']},{config['port']}"
    words["DATABASE"] = config.get("database")
    words["UID"] = config.get("user")
    words["PWD"] = config.get("password")
    words["Encrypt"] = config["encrypt"]
    words["TrustServerCertificate"] = "yes" if config["trust_server_certificate"] else "no"
    if config["driver"] in ("pyodbc", "msodbcsql"):
        words["APP"] = config["application_name"]
    words["PacketSize"] = config.get("packet_size")
    if config["driver"] != "pyodbc":
        # The driver would open a lost connection anew by itself, unasked: see MssqlPythonConnection._be_there.
        words["ConnectRetryCount"] = 0
    # What is empty is left out: mssql-python's own parser refuses it.
    return "".join(f"{word}={_braced(value)};" for word, value in words.items() if value not in (None, ""))


def _braced(value: Any) -> str:
    text = str(value)
    plain = text.replace(",", "").replace(".", "").replace("-", "").replace("_", "").isalnum()
    return text if plain else "{" + text.replace("}", "}}") + "}"


class MssqlPythonConnection:
    """Microsoft's mssql-python, which builds Arrow batches natively, over its ODBC Driver 18 or its new mssql-odbc."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        from tap_mssql import native

        native.ready()
        import mssql_python

        mssql_python.native_provider = _PROVIDERS[config["driver"]]  # type: ignore[attr-defined]
        mssql_python.pooling(enabled=False)
        self._timeout = int(config["query_timeout_seconds"])
        self._raw = mssql_python.connect(
            connection_string(config), autocommit=True, timeout=int(config["connect_timeout_seconds"])
        )
        self._raw.timeout = self._timeout

    def rows(
        self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog", most: int | None = None
    ) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        with self._explained(table):
            cursor = self._raw.cursor()
            try:
                _execute(cursor, sql, values)
                if not cursor.description:
                    return []
                found = [tuple(row) for row in cursor.fetchall()]
                _raise_what_was_told(cursor)
                if len(found) != most:
                    self._be_there(cursor)
                return found
            finally:
                cursor.close()

    def batches(
        self,
        sql: str,
        values: Sequence[Any],
        fetch_size: int,
        schema: pa.Schema,  # noqa: ARG002
        *,
        table: str,
        most: int | None = None,
        asked_on: bool = False,
    ) -> Generator[pa.RecordBatch, None, None]:
        """The result as the driver's own record batches, in the driver's types."""
        with self._explained(table):
            cursor = self._raw.cursor()
            try:
                _execute(cursor, sql, values)
                has_columns(cursor.description, table)
                came = 0
                with cursor.arrow_reader(batch_size=fetch_size) as reader:
                    for batch in reader:
                        came += batch.num_rows
                        yield batch
                        del batch
                _raise_what_was_told(cursor)
                if came != most and not asked_on:
                    self._be_there(cursor)
            finally:
                cursor.close()

    def close(self) -> None:
        """Close it; may be called twice."""
        self._raw.close()

    @staticmethod
    def _be_there(cursor: Any) -> None:
        """Raise the driver's error where the connection is gone.

        Where it ends in the middle of a result, mssql-python 1.16 gives what had come until then as if it were all:
        a page with too few rows would be taken for the table's end. Whatever is asked next fails. Not asked after a
        result with all the rows there can be: `round_trip_seconds` counts one question, and so does each full page.
        """
        _execute(cursor, "SELECT 1", ())
        cursor.fetchall()

    @contextmanager
    def _explained(self, table: str) -> Iterator[None]:
        import mssql_python

        try:
            yield
        except (mssql_python.exceptions.Exception, RuntimeError) as error:
            raise errors.reading(error, table, self._timeout) from error


def _execute(cursor: Any, sql: str, values: Sequence[Any]) -> None:
    if values:
        cursor.setinputsizes(input_sizes(values))
        cursor.execute(sql, tuple(values))
    else:
        # Without parameters there is nothing to prepare: one round trip less.
        cursor.execute(sql, use_prepare=False)


def _raise_what_was_told(cursor: Any) -> None:
    """Raise the error that the driver told and mssql-python 1.16 keeps among a cursor's messages.

    So it does where the server gives a result up without a word (DONE_SRVERROR): what had come would be taken for all.
    Warnings and what the server prints are of class 01.
    """
    for state, text in cursor.messages:  # "[HY000] (0)"
        if not state.startswith("[01"):
            raise RuntimeError(state[1:6], text)


def input_sizes(values: Sequence[Any]) -> list[tuple[int, int, int]]:
    """ODBC types for parameters: bigint for numbers, nvarchar(4000) for text.

    Left alone, the drivers take the type from each value (tinyint for 200, varchar(3) for `abc`), and the server
    would compile a plan for each.
    """
    return [(_SQL_BIGINT, 0, 0) if isinstance(value, int) else (_SQL_WVARCHAR, 4000, 0) for value in values]


def has_columns(description: object, table: str) -> None:
    """A query that answers without columns has no rows to be believed: an empty page would end a sync early."""
    if not description:
        raise SourceUnreachable(f"{table}: the server answered a query without a result")
