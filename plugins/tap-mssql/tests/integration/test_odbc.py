"""ODBC Driver 18 called directly: no result is taken for whole that is not, and nothing done to it ends in a crash."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from mssql_python import ddbc_bindings
from pysqlbridge.logins import Login, LoginStore
from pysqlbridge.server import start_background
from pysqlbridge.tds.result import Column, Integer, QueryResult
from sync_rules.exits import ConfigurationError, SourceUnreachable, SyncError
from tap_mssql import client, native, odbc, session
from tap_mssql.client_odbc import OdbcConnection
from tap_mssql.errors import QueryRefused
from tap_mssql.tap import TapMssql

from tests import planted
from tests.planted import COUNT, FAILED, MORE, SERVER_ERROR, columns, done, error, fin, packets, printed, rows

FETCH = 4
SCHEMA = pa.schema([("id", pa.int32()), ("name", pa.string())])
WHOLE = columns() + rows(0, 10)
ROWS = [(number, f"row {number}" if number % 3 else None) for number in range(10)]
GONE = (SourceUnreachable, "the connection was lost")
REFUSED = (QueryRefused, "boom")
GIVEN_UP = (SourceUnreachable, "gave a result up")

COMPLETE = {
    "all at once": [b"".join(packets(WHOLE + done(COUNT, 10)))],
    "small packets": packets(WHOLE + done(COUNT, 10), size=20),
    "a count that is not theirs": packets(WHOLE + done(COUNT, 500)),
    "printed amid the rows": packets(columns() + rows(0, 5) + printed() + rows(5, 10) + done(COUNT, 10)),
    "printed at the end of a block": packets(columns() + rows(0, 4) + printed() + rows(4, 10) + done(COUNT, 10)),
    "printed again and again": packets(
        columns() + b"".join(printed("x" * 3_000) + rows(n, n + 1) for n in range(10)) + printed() + done(COUNT, 10)
    ),
}
BROKEN = {
    "an error before the columns": (packets(error() + done(FAILED)), REFUSED),
    "an error before the first row": (packets(columns() + error() + done(FAILED)), REFUSED),
    "an error amid a block": (packets(columns() + rows(0, 6) + error() + done(FAILED)), REFUSED),
    "an error at the end of a block": (packets(columns() + rows(0, 8) + error() + done(FAILED)), REFUSED),
    "an error that the end says nothing of": (packets(columns() + rows(0, 8) + error() + done(COUNT, 8)), REFUSED),
    "an error between rows": (packets(columns() + rows(0, 5) + error() + rows(5, 10) + done(COUNT, 10)), REFUSED),
    "an error after the last row": (packets(WHOLE + error() + done(FAILED)), REFUSED),
    "an error after the rows' end": (packets(WHOLE + done(COUNT | MORE, 10) + error() + done(FAILED)), REFUSED),
    "an error in another result": (
        packets(WHOLE + done(COUNT | MORE, 10) + WHOLE + error() + done(FAILED)),
        REFUSED,
    ),
    "an error before what is printed": (packets(columns() + rows(0, 5) + error() + printed() + done(FAILED)), REFUSED),
    "given up after what is printed": (packets(columns() + rows(0, 5) + printed() + done(SERVER_ERROR)), GIVEN_UP),
    "an error after what is printed": (packets(columns() + rows(0, 5) + printed() + error() + done(FAILED)), REFUSED),
    **{
        f"an error of class {level}": (packets(columns() + rows(0, 5) + error(level=level) + done(FAILED)), REFUSED)
        for level in (11, 13, 17, 19, 20, 25)
    },
    "an error that is long": (packets(columns() + rows(0, 5) + error("boom" * 7_000) + done(FAILED)), REFUSED),
    "failed without a word": (packets(WHOLE + done(FAILED)), GIVEN_UP),
    "failed without a word at the end of a block": (packets(columns() + rows(0, 8) + done(FAILED)), GIVEN_UP),
    "failed without a word or row": (packets(columns() + done(FAILED)), GIVEN_UP),
    "given up": (packets(WHOLE + done(SERVER_ERROR)), GIVEN_UP),
    "given up at the end of a block": (packets(columns() + rows(0, 8) + done(SERVER_ERROR)), GIVEN_UP),
    "given up before a row": (packets(columns() + done(SERVER_ERROR)), GIVEN_UP),
    "no end": (packets(WHOLE), (SyncError, "")),
    "no end after a block": (packets(columns() + rows(0, 8)), (SyncError, "")),
    "an end in a row": (packets(WHOLE[:-3]), (SyncError, "")),
    "lost before a word": ([fin], GONE),
    "lost in a packet's head": ([b"".join(packets(WHOLE, size=64))[: 64 * 2 + 4], fin], GONE),
    "lost between packets": ([*packets(WHOLE, size=64)[:3], fin], GONE),
    "lost before the last packet": ([*packets(WHOLE + done(COUNT, 10), ended=False), fin], GONE),
    **{
        f"lost after row {at}{word}": ([*packets(columns() + rows(0, at), ended=ended), fin], GONE)
        for at in (0, 3, 4, 6, 8, 10)
        for word, ended in (("", False), (" of a last packet", True))
    },
    **{
        f"lost in row {at}": ([*packets((columns() + rows(0, at))[:-5], ended=False), fin], GONE)
        for at in (1, 4, 5, 8, 10)
    },
    "silent": ([], (SourceUnreachable, "the query time-out of 1 s passed")),
    "silent amid a block": (
        packets(columns() + rows(0, 6), ended=False),
        (SourceUnreachable, "the query time-out of 1 s passed"),
    ),
    "silent at the end of a block": (
        packets(columns() + rows(0, 8), ended=False),
        (SourceUnreachable, "the query time-out of 1 s passed"),
    ),
}


def settings(source: Any, **changed: Any) -> dict[str, Any]:
    common = {
        "encrypt": "no",
        "driver": "msodbcsql",
        "application_name": "test",
        "connect_timeout_seconds": 20,
        "query_timeout_seconds": 1,
        "isolation_used": "read_committed",
    }
    return {**source.config, **common, **changed}


@contextmanager
def answered(source: Any, pieces: Any) -> Iterator[tuple[OdbcConnection, planted.Planted]]:
    """A connection to a server that answers `planted.QUERY` so."""
    with planted.Planted(("127.0.0.1", source.config["port"]), pieces) as server:
        connection = OdbcConnection(settings(source, port=server.port))
        try:
            yield connection, server
        finally:
            connection.close()


def read(connection: Any) -> list[tuple[Any, ...]]:
    found = []
    for batch in connection.batches(planted.QUERY, (), FETCH, SCHEMA, table="dbo.t"):
        found += zip(*(column.to_pylist() for column in batch.columns), strict=True)
    return found


def small(connection: Any) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = connection.rows(planted.QUERY, table="dbo.t")
    return found


@pytest.mark.parametrize("way", [read, small])
@pytest.mark.parametrize("name", COMPLETE)
def test_a_whole_result_is_read_to_its_end(source: Any, name: str, way: Any) -> None:
    with answered(source, COMPLETE[name]) as (connection, _):
        assert way(connection) == ROWS


@pytest.mark.parametrize("way", [read, small])
@pytest.mark.parametrize("name", BROKEN)
def test_a_result_that_is_not_whole_is_never_taken_for_one(source: Any, name: str, way: Any) -> None:
    """SPEC F4."""
    pieces, (kind, words) = BROKEN[name]
    with answered(source, pieces) as (connection, _), pytest.raises(kind) as ended:
        way(connection)
    assert words in str(ended.value)


def test_a_result_given_up_early_is_cancelled_and_the_connection_goes_on(source: Any) -> None:
    with answered(source, packets(columns() + rows(0, 6), ended=False)) as (connection, server):
        batches = connection.batches(planted.QUERY, (), FETCH, SCHEMA, table="dbo.t")
        assert next(batches).num_rows == FETCH
        batches.close()
        assert server.attentions == 1
        assert connection.rows("SELECT 7") == [(7,)]


def test_a_connection_is_closed_whatever_is_still_read_from_it(source: Any) -> None:
    """Without a driver manager the driver crashes where a statement outlives its connection."""
    with answered(source, COMPLETE["all at once"]) as (connection, _):
        batches = connection.batches(planted.QUERY, (), FETCH, SCHEMA, table="dbo.t")
        assert next(batches).num_rows == FETCH
        connection.close()
        with pytest.raises(SourceUnreachable, match="the connection was lost"):
            next(batches)
        batches.close()
        with pytest.raises(SourceUnreachable, match="the connection was lost"):
            connection.rows("SELECT 1")


def test_a_result_outlives_its_watched_connection(source: Any) -> None:
    with planted.Planted(("127.0.0.1", source.config["port"]), COMPLETE["all at once"]) as server:
        connection = client.connect(settings(source, port=server.port), logging.getLogger())
        batches = connection.batches(planted.QUERY, (), FETCH, SCHEMA, table="dbo.t")
        assert next(batches).num_rows == FETCH
        connection.close()
        batches.close()


def test_values_are_sent_as_by_the_other_drivers() -> None:
    """A server that speaks no more than the protocol knows sp_prepexec, or sp_executesql, and was tried with those."""
    asked: list[str] = []

    def answer(query: Any) -> QueryResult:
        if not query.procedure:
            return QueryResult([], [])  # what a new session is told
        asked.append(query.procedure.lower())
        return QueryResult([Column("a", Integer(4))], [(5,)])

    server, _ = start_background(query_handler=answer, logins=LoginStore([Login("sa", "Secret_123", False)]))
    given = {"host": "127.0.0.1", "port": server.server_address[1], "user": "sa", "password": "Secret_123"}
    sent = []
    try:
        for driver in ("msodbcsql", "mssql-python"):
            settings = {**given, "database": "x", "trust_server_certificate": True, "driver": driver}
            opened = client.connect(TapMssql(config=settings).config, logging.getLogger())
            assert opened.rows("SELECT ? + ? AS a", [2, "3"], most=1) == [(5,)]
            sent.append(asked[0])
            opened.close()
            asked.clear()
    finally:
        server.shutdown()
        server.server_close()
    assert sent[0] == sent[1]


@pytest.mark.parametrize(
    "value", ["", "a" * 4_000, "a" * 4_001, "\U0001f600" * 3_000, "it's", 2**63 - 1, -(2**63), None]
)
def test_values_are_bound_as_they_are(source: Any, value: Any) -> None:
    connection = OdbcConnection(settings(source))
    try:
        assert connection.rows("SELECT ? AS v", [value]) == [(value,)]
    finally:
        connection.close()


@pytest.mark.parametrize("value", [2**63, 1.5, b"a"])
def test_what_cannot_be_bound_is_refused(source: Any, value: Any) -> None:
    """A bookmark is what somebody may have edited."""
    connection = OdbcConnection(settings(source))
    try:
        with pytest.raises(QueryRefused):
            connection.rows("SELECT ? AS v", [value])
        assert connection.rows("SELECT 7") == [(7,)]
    finally:
        connection.close()


def _no_platform(folder: str) -> str:
    raise RuntimeError(folder)


@pytest.mark.parametrize("found", [lambda _: "/there/is/none.so", lambda _: native.columns(), _no_platform])
def test_a_driver_that_cannot_be_loaded_is_a_matter_of_the_machine(
    source: Any, monkeypatch: pytest.MonkeyPatch, found: Any
) -> None:
    monkeypatch.setattr(ddbc_bindings, "GetDriverPathCpp", found)
    odbc.driver.cache_clear()
    try:
        with pytest.raises(ConfigurationError, match="could not be loaded: install libltdl7"):
            client.connect(settings(source), logging.getLogger())
    finally:
        odbc.driver.cache_clear()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_session_that_cannot_begin_is_ended(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise QueryRefused("no")

    client.connect(settings(source), logging.getLogger()).close()
    monkeypatch.setattr(session, "begin", refuse)
    before = open_files()
    for _ in range(3):
        with pytest.raises(QueryRefused):
            client.connect(settings(source), logging.getLogger())
    assert open_files() <= before


def test_connections_and_statements_leave_nothing_open(source: Any) -> None:
    def use() -> None:
        connection = OdbcConnection(settings(source))
        for _ in range(5):
            connection.rows("SELECT ? AS v", ["x"])
        with pytest.raises(QueryRefused):
            connection.rows("SELECT 1 / 0")
        connection.close()

    use()
    before = open_files()
    for _ in range(20):
        use()
    assert open_files() <= before
