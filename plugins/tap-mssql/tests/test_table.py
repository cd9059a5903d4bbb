"""What a saved sync has to fit, to be gone on with."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from tap_mssql.discovery import Index, TableDescription, TableName
from tap_mssql.sql_types import SqlColumn
from tap_mssql.table import MssqlTable, choose
from tap_mssql.tap import TapMssql

SETTINGS = {"host": "sql.example", "database": "LOJA", "driver": "mssql-python"}


def fingerprint(collation: str = "Latin1_General_CI_AS", **settings: Any) -> str:
    config = dict(TapMssql(config={**SETTINGS, **settings}, catalog={"streams": []}).config)
    column = SqlColumn("id", "varchar", 9, 0, 0, nullable=False, collation=collation)
    description = TableDescription(TableName("dbo", "t"), False, (column,), (Index(("id",), True, False),))
    connection: Any = None
    choices = choose(description, config, lambda _: True)
    return MssqlTable(
        description, choices, config, connection, lambda: connection, None, logging.getLogger()
    ).fingerprint


@pytest.mark.parametrize(
    "changed",
    [{"host": "other.example"}, {"port": 1434}, {"database": "FILIAL"}, {"collation": "Latin1_General_BIN2"}],
    ids=str,
)
def test_another_database_or_order_of_the_key_is_another_sync(changed: dict[str, Any]) -> None:
    """SPEC F6. Below a key lie other rows in another collation, and in another database."""
    assert fingerprint() == fingerprint()
    assert fingerprint(**changed) != fingerprint()
