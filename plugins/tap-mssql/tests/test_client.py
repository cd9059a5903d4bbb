"""A server that cannot be found or reached: how often it is tried, and what is said in the end."""

from __future__ import annotations

import logging
import socket
import sqlite3
from contextlib import closing
from types import SimpleNamespace
from typing import Any, ClassVar

import mssql_python
import pyarrow as pa
import pytest
from sync_rules.exits import ConfigurationError, SourceUnreachable, SyncError
from tap_mssql import client, errors

CONFIG = {"host": "sql.example", "port": 1433, "connect_timeout_seconds": 60, "driver": "mssql-python"}


@pytest.mark.parametrize(
    ("errno", "error"),
    [
        (socket.EAI_NONAME, ConfigurationError),
        (socket.EAI_AGAIN, SourceUnreachable),
        (socket.EAI_FAIL, SourceUnreachable),
        (socket.EAI_NODATA, SourceUnreachable),
    ],
)
def test_a_name_is_looked_up_three_times(monkeypatch: pytest.MonkeyPatch, errno: int, error: type[SyncError]) -> None:
    """A resolver that has just lost its network knows no name at all."""
    asked = []

    def look_up(address: Any, **_: Any) -> None:
        asked.append(address)
        raise socket.gaierror(errno, "not known")

    monkeypatch.setattr(socket, "create_connection", look_up)
    with pytest.raises(error, match=r"sql\.example:1433"):
        client.connect(CONFIG, logging.getLogger())
    assert len(asked) == 3


class Refusing:
    """What mssql-python makes of SQL Server's errors 4060 and 18456, and a `master` that is asked of the database X.

    `state` is the row that sys.databases has of it: its state, who may open it, its collation.
    """

    state: ClassVar[tuple[str | None, ...]] = ()
    words: ClassVar[str] = "Login failed for user 'sa'."

    def __init__(self, config: dict[str, Any]) -> None:
        if config["database"] != "master":
            words = f"[Microsoft][SQL Server]{self.words}"
            raise mssql_python.OperationalError(driver_error="Invalid authorization specification", ddbc_error=words)

    def rows(self, sql: str, values: list[str]) -> list[tuple[str]]:
        with closing(sqlite3.connect(":memory:")) as master:
            master.execute("ATTACH ':memory:' AS sys")
            master.execute("CREATE TABLE sys.databases (name, state_desc, user_access_desc, collation_name)")
            master.execute("INSERT INTO sys.databases VALUES ('X', ?, ?, ?)", self.state)
            return master.execute(sql, values).fetchall()

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("state", "error", "words"),
    [
        (("RECOVERING", "MULTI_USER", None), SourceUnreachable, "database X is not ready: it is RECOVERING"),
        (("ONLINE", "SINGLE_USER", "Latin1_General_BIN2"), SourceUnreachable, "not ready: it is SINGLE_USER"),
        # Just come online, or a secondary: it takes no connection until it tells its collation.
        (("ONLINE", "MULTI_USER", None), SourceUnreachable, "not ready: it is ONLINE and not open"),
        (("ONLINE", "MULTI_USER", "Latin1_General_BIN2"), ConfigurationError, "login failed for user sa"),
    ],
)
def test_a_database_that_is_not_open_is_no_wrong_password(
    monkeypatch: pytest.MonkeyPatch, state: tuple[str | None, ...], error: type[SyncError], words: str
) -> None:
    monkeypatch.setattr(client, "_ATTEMPTS", 1)
    monkeypatch.setattr(client, "_knock", lambda config: None)
    monkeypatch.setattr(client, "MssqlPythonConnection", Refusing)
    monkeypatch.setattr(Refusing, "state", state)
    with pytest.raises(error, match=words):
        client.connect({**CONFIG, "database": "X", "user": "sa"}, logging.getLogger())


def test_a_server_of_another_language_is_asked_for_the_database_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the session begins it speaks the login's language."""
    monkeypatch.setattr(Refusing, "words", "Falha de logon do usu\u00e1rio 'sa'.")
    test_a_database_that_is_not_open_is_no_wrong_password(
        monkeypatch, ("RECOVERING", "MULTI_USER", None), SourceUnreachable, "it is RECOVERING"
    )
    test_a_database_that_is_not_open_is_no_wrong_password(
        monkeypatch, ("ONLINE", "MULTI_USER", "Latin1_General_BIN2"), ConfigurationError, "Falha de logon"
    )


@pytest.mark.parametrize("host", [".", "sql\\instance", "sql.invalid,1433", "a" * 64 + ".invalid"])
def test_what_is_no_name_of_a_host_is_told(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr(client, "_ATTEMPTS", 1)
    with pytest.raises(ConfigurationError, match="the name alone"):
        client.connect({**CONFIG, "host": host}, logging.getLogger())


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({}, "Encrypt=yes;"),
        ({"encrypt": "strict"}, "Encrypt=strict;"),
        ({}, "TrustServerCertificate=no;"),
        ({"trust_server_certificate": True}, "TrustServerCertificate=yes;"),
        ({"password": "a}b;Encrypt=no"}, "PWD={a}}b;Encrypt=no};"),
        ({"user": "a b", "database": "c{d"}, "DATABASE={c{d};UID={a b};"),
        ({"packet_size": 8_000}, "PacketSize=8000;"),
        ({}, "ConnectRetryCount=0;"),  # else the driver opens a lost session anew, and not in the isolation it had
    ],
)
def test_what_is_set_is_what_the_driver_is_told(settings: dict[str, Any], word: str) -> None:
    config = {**CONFIG, "encrypt": "yes", "trust_server_certificate": False, **settings}
    assert word in client.connection_string(config)


def test_pyodbc_gives_a_sign_for_half_a_character() -> None:
    """As mssql-python does; its own decoder would refuse the row."""
    module: Any = pytest.importorskip("tap_mssql.client_pyodbc", reason="no ODBC manager here", exc_type=ImportError)
    assert module._text("a\ud83d".encode("utf-16-le", "surrogatepass")) == "a\ufffd"
    assert module._text("ação 😀".encode("utf-16-le")) == "ação 😀"


def test_pyodbc_says_that_a_column_is_of_another_type_now() -> None:
    module: Any = pytest.importorskip("tap_mssql.client_pyodbc", reason="no ODBC manager here", exc_type=ImportError)
    schema = pa.schema([pa.field("id", pa.int32()), pa.field("u", pa.binary(16))])
    for row in [("text", None), (2**31, None), (1, "no identifier")]:
        with pytest.raises(errors.SourceChanged, match=r"dbo\.t: values do not fit the types"):
            module._batch([row], schema, "dbo.t")


@pytest.mark.parametrize(
    ("state", "text", "told"),
    [
        ("[08S01] (10054)", "[Microsoft][ODBC Driver 18 for SQL Server]TCP Provider: Error code 0x2746", "was lost"),
        ("[HY000] (0)", "[Microsoft][ODBC Driver 18 for SQL Server]Unspecified error occurred", "gave a result up"),
        ("[01000] (5703)", "[Microsoft][ODBC Driver 18 for SQL Server]Changed language setting to us_english.", ""),
    ],
)
def test_what_mssql_python_keeps_to_itself_is_told(state: str, text: str, told: str) -> None:
    """A connection cut while a fetch has some of its rows leaves no other sign."""
    try:
        client._raise_what_was_told(SimpleNamespace(messages=[(state, text)]))
    except RuntimeError as error:
        found = errors.reading(error, "dbo.plain")
        assert isinstance(found, SourceUnreachable)
        assert told in str(found)
    else:
        assert not told
