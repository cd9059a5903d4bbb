"""Transactions as the drivers make them: implicit ones, explicit ones, several sessions at once."""

from __future__ import annotations

import threading
from typing import Any

import pytest


def test_rollback_undoes_and_commit_keeps(connect: Any, driver: str, fresh: Any) -> None:
    table = fresh("(id int)")
    with connect(driver) as link:
        cursor = link.cursor()
        cursor.execute(f"INSERT INTO {table} VALUES (1)")
        link.rollback()
        cursor.execute(f"INSERT INTO {table} VALUES (2)")
        link.commit()
    with connect(driver) as link:
        cursor = link.cursor()
        cursor.execute(f"SELECT id FROM {table}")
        assert [r[0] for r in cursor.fetchall()] == [2]


def test_a_closed_connection_takes_its_changes_back(connect: Any, fresh: Any, sql: Any) -> None:
    table = fresh("(id int)")
    link = connect()
    link.cursor().execute(f"INSERT INTO {table} VALUES (1)")
    link.close()
    sql.execute(f"INSERT INTO {table} VALUES (2)")
    assert [r[0] for r in sql.execute(f"SELECT id FROM {table}").fetchall()] == [2]


def test_others_see_only_what_is_committed(connect: Any, fresh: Any, sql: Any) -> None:
    table = fresh("(id int)")
    with connect() as link:
        link.cursor().execute(f"INSERT INTO {table} VALUES (1)")
        assert sql.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] == 0
        link.commit()
        assert sql.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] == 1


def test_read_committed_sees_new_rows_and_snapshot_does_not(connect: Any, fresh: Any, sql: Any) -> None:
    table = fresh("(id int)")
    for level, wanted in (("READ COMMITTED", 1), ("SNAPSHOT", 0)):
        sql.execute(f"DELETE FROM {table}")
        with connect(autocommit=True) as link:
            cursor = link.cursor()
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
            cursor.execute("BEGIN TRANSACTION")
            assert cursor.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] == 0
            sql.execute(f"INSERT INTO {table} VALUES (1)")
            assert cursor.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] == wanted
            cursor.execute("COMMIT")


def test_a_writer_waits_for_another(connect: Any, fresh: Any) -> None:
    table = fresh("(id int)")
    first, second = connect(), connect(autocommit=True)
    first.cursor().execute(f"INSERT INTO {table} VALUES (1)")
    waiting = threading.Thread(target=lambda: second.cursor().execute(f"UPDATE {table} SET id = id + 10"))
    waiting.start()
    first.commit()
    waiting.join(20)
    assert not waiting.is_alive()
    assert second.cursor().execute(f"SELECT id FROM {table}").fetchone()[0] == 11
    first.close()
    second.close()


def test_a_lock_timeout_is_1222(connect: Any, fresh: Any) -> None:
    table = fresh("(id int)")
    with connect() as first, connect("pymssql", autocommit=True) as second:
        first.cursor().execute(f"INSERT INTO {table} VALUES (1)")
        cursor = second.cursor()
        cursor.execute("SET LOCK_TIMEOUT 50")
        with pytest.raises(Exception) as refused:  # noqa: PT011  the number is the assertion
            cursor.execute(f"DELETE FROM {table}")
        assert refused.value.args[0] == 1222
        first.rollback()
