"""sql_variant before SQL Server 2016, which has no exact text for a float: style 3 of CONVERT is younger."""

# ruff: noqa: S608 - names are quoted

from __future__ import annotations

from collections.abc import Sequence

from sync_rules.exits import ConfigurationError

from tap_mssql.client import Connection
from tap_mssql.discovery import TableName, optional
from tap_mssql.sql_types import SqlColumn, quote

_OLD = """
SELECT 1 WHERE CAST(SERVERPROPERTY('EngineEdition') AS int) <= 4
  AND CAST(PARSENAME(CAST(SERVERPROPERTY('ProductVersion') AS varchar(128)), 4) AS int) < 13
"""
"""One row on a server of one's own before 2016. Azure calls itself version 12 for ever, and knows the style."""


def check(connection: Connection, table: TableName, columns: Sequence[SqlColumn]) -> None:
    """Raise ConfigurationError for a column that holds floats which the server cannot write with every digit."""
    variants = [column.name for column in columns if column.base == "sql_variant"]
    if not variants or not optional(connection, _OLD, quietly=True):
        return
    for name in variants:
        kind = f"CAST(SQL_VARIANT_PROPERTY({quote(name)}, 'BaseType') AS varchar(30))"
        sql = f"SELECT TOP (1) 1 FROM {table.quoted} WHERE {kind} IN ('float', 'real')"
        if connection.rows(sql, table=str(table)):
            raise ConfigurationError(
                f"{table}: {name} holds float or real values, which a sql_variant gives with every digit since SQL"
                " Server 2016 only: leave the column out by `select`, or read a view that casts it"
            )
