"""What a new connection is told, as a server hears it."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from sync_rules.exits import SyncError
from tap_mssql import discovery, session


class Server:
    """Answers with a login's date order and first day of the week, and refuses what it is told to."""

    def __init__(self, dates: tuple[str, int] | None = None, refused: str = "nothing") -> None:
        self._dates, self._refused = dates, refused
        self.heard: list[str] = []

    def rows(self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog") -> list[tuple[Any, ...]]:
        del values
        if self._refused in sql or (self._dates is None and "syslanguages" in sql):
            raise SyncError(f"{table}: the server refused a query")
        self.heard.append(sql)
        return [self._dates] if self._dates and "syslanguages" in sql else []

    def began(self, isolation: str = "read_committed") -> list[str]:
        server: Any = self
        session.begin(server, "session", isolation)
        return [sql for sql in self.heard if sql.startswith("SET")]


def test_dates_are_read_as_the_login_reads_them() -> None:
    """SET LANGUAGE changes both, and a view's results with them."""
    told = Server(("dmy", 1)).began()
    assert told[:2] == ["SET LANGUAGE us_english", "SET DATEFORMAT dmy; SET DATEFIRST 1"]


@pytest.mark.parametrize("dates", [("mdy", 7), None, ("d; DROP", 7)])
def test_nothing_is_put_back_where_nothing_changed(dates: tuple[str, int] | None) -> None:
    assert not [sql for sql in Server(dates).began() if "DATE" in sql]


def test_a_server_with_one_language_is_read_all_the_same() -> None:
    assert "SET LANGUAGE us_english" not in Server(refused="LANGUAGE").began()


@pytest.mark.parametrize(("isolation", "level"), [("read_committed", "READ COMMITTED"), ("snapshot", "SNAPSHOT")])
def test_the_isolation_is_said(isolation: str, level: str) -> None:
    assert Server().began(isolation)[-1] == f"SET TRANSACTION ISOLATION LEVEL {level}"


def test_an_isolation_that_is_not_taken_is_told(caplog: pytest.LogCaptureFixture) -> None:
    Server(refused="COMMITTED").began()
    assert "rows may be read that are never committed" in caplog.text
    with pytest.raises(SyncError):
        Server(refused="SNAPSHOT").began("snapshot")


def test_what_a_server_lacks_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each table and each connection asks again."""
    told: list[str] = []
    monkeypatch.setattr(discovery, "_LOG", SimpleNamespace(warning=lambda form, *words: told.append(form % words)))
    server: Any = Server(refused="sys.indexes")
    for _ in range(3):
        assert discovery.optional(server, "SELECT * FROM sys.indexes") == []
    assert told == ["catalog: the server refused a query; going on without it"]
