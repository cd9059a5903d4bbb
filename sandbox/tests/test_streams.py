"""Large results: in order, complete, cancelled, cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.data.load import load
from sandbox.tds.server import SqlServer

ROWS = 130_000


@pytest.fixture(scope="module")
def credores(server: SqlServer) -> Iterator[None]:
    load(server.instance, "bi_credores", ROWS, database="LOJA")
    yield
    load(server.instance, "bi_credores", 1, database="LOJA")


def ids(cursor: Any) -> list[int]:
    return [value for batch in cursor.arrow_reader(8192) for value in batch.column(0).to_pylist()]


@pytest.mark.usefixtures("credores")
def test_pages_make_the_whole(sql: Any) -> None:
    whole = ids(sql.execute("SELECT id FROM dbo.bi_credores"))
    assert len(whole) == len(set(whole)) == ROWS
    paged: list[int] = []
    last = 2**62
    while True:
        page = ids(
            sql.execute(
                "SELECT TOP (30000) id FROM dbo.bi_credores WHERE id <= ? AND id < ? ORDER BY id DESC", (2**62, last)
            )
        )
        if not page:
            break
        paged += page
        last = page[-1]
    assert paged == sorted(whole, reverse=True)
    assert ids(sql.execute("SELECT id FROM dbo.bi_credores ORDER BY id")) == sorted(whole)


@pytest.mark.usefixtures("credores")
def test_an_order_by_time_is_whole_though_many_times_are_equal(sql: Any) -> None:
    rows = sql.execute(
        "SELECT id, CONVERT(varchar(33), mod_ts, 121) FROM dbo.bi_credores ORDER BY mod_ts, id"
    ).fetchall()
    pairs = [(r[1], r[0]) for r in rows]
    assert len(pairs) == ROWS
    assert pairs == sorted(pairs)


@pytest.mark.usefixtures("credores")
def test_a_result_left_unread_frees_the_connection(connect: Any, driver: str) -> None:
    with connect(driver) as link:
        cursor = link.cursor()
        cursor.execute("SELECT * FROM dbo.bi_credores ORDER BY id DESC")
        assert cursor.fetchone() is not None
        cursor.close()
        again = link.cursor()
        again.execute("SELECT COUNT(*) FROM dbo.bi_credores")
        assert again.fetchone()[0] == ROWS


@pytest.mark.usefixtures("credores")
def test_a_query_timeout_cancels(connect: Any) -> None:
    with connect("pyodbc", autocommit=True) as link:
        link.timeout = 1
        with pytest.raises(Exception, match=r"timeout|HYT00"):
            link.cursor().execute("WAITFOR DELAY '00:01:00'")
        link.timeout = 0
        assert link.cursor().execute("SELECT 1").fetchone()[0] == 1


def _read_on(cursor: Any) -> None:
    """mssql-python may give the rows that had come as if they were all; what is asked next is refused."""
    cursor.fetchall()
    cursor.execute("SELECT 1")


@pytest.mark.usefixtures("credores")
def test_a_cut_connection_is_an_error_and_the_server_goes_on(connect: Any, sql: Any) -> None:
    link = connect(autocommit=True)
    cursor = link.cursor()
    spid = cursor.execute("SELECT @@SPID").fetchone()[0]
    cursor.execute("SELECT * FROM dbo.bi_credores")
    sql.execute(f"KILL {spid}")
    with pytest.raises(Exception, match=r".*"):
        _read_on(cursor)
    assert sql.execute("SELECT COUNT(*) FROM dbo.bi_credores").fetchone()[0] == ROWS


@pytest.mark.usefixtures("credores")
def test_the_three_drivers_read_the_same_rows(connect: Any) -> None:
    found = []
    for driver in ("mssql-python", "pyodbc", "pymssql"):
        with connect(driver) as link:
            cursor = link.cursor()
            cursor.execute("SELECT TOP 500 * FROM dbo.bi_credores ORDER BY id DESC")
            found.append([tuple(row) for row in cursor.fetchall()])
    assert found[0] == found[1]
    # FreeTDS gives its own datetime class a precision of its own; the rest is compared.
    assert [row[:-1] for row in found[0]] == [row[:-1] for row in found[2]]


@pytest.mark.usefixtures("credores")
def test_generated_people_are_nobody(sql: Any) -> None:
    for (cpf,) in sql.execute("SELECT TOP 2000 CPF FROM dbo.bi_credores").fetchall():
        digits = [int(d) for d in cpf if d.isdigit()]
        check = sum(d * w for d, w in zip(digits[:9], range(10, 1, -1), strict=True)) * 10 % 11 % 10
        assert digits[9] != check
