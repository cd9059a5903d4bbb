"""Which columns are read, and which of them are the key and the cursor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync_rules.exits import ConfigurationError

from tap_sqlite.catalog import ROWID, ROWID_COLUMN, TableDescription, natural_key, rowid_column
from tap_sqlite.database import folded
from tap_sqlite.declared import TableColumn


@dataclass(frozen=True)
class Choices:
    """What settings and catalog choose: the columns in order, the key's among them, the cursor's name."""

    columns: tuple[TableColumn, ...]
    key: tuple[TableColumn, ...]
    cursor: TableColumn | None


def choose(table: TableDescription, config: Mapping[str, Any], selects: Callable[[str], bool]) -> Choices:
    """By the settings, else by the table. Raises ConfigurationError for a column that is not there."""
    key = [_found(table, name, "key_columns") for name in key_names(table, config)]
    cursor_name = config.get("cursor_column")
    cursor = _found(table, cursor_name, "cursor_column") if cursor_name else None
    if config["sync_mode"] == "incremental":
        if cursor is None:
            raise ConfigurationError(f"{table.name}: an incremental sync needs cursor_column")
        if not key:
            raise ConfigurationError(f"{table.name}: an incremental sync needs a key: set key_columns")
    names = {column.name for column in (*key, *((cursor,) if cursor else ()))}
    columns = [column for column in table.columns if column.name in names or selects(column.name)]
    columns = [column for column in key if column not in table.columns] + columns
    return Choices(tuple(columns), tuple(key), cursor)


def key_names(table: TableDescription, config: Mapping[str, Any]) -> Sequence[str]:
    """What is set, where an empty list is no key at all, else the table's own."""
    wanted: Sequence[str] | None = config.get("key_columns")
    return natural_key(table) if wanted is None else wanted


def _found(table: TableDescription, name: str, setting: str) -> TableColumn:
    column = table.column(name)
    if column is not None:
        return column
    if folded(name) in (ROWID, ROWID_COLUMN):
        if table.rowid is None:
            raise ConfigurationError(f"{table.name}: has no rowid: set key_columns to columns of its own")
        if table.column(ROWID_COLUMN) is not None:
            raise ConfigurationError(
                f"{table.name}: has a column {ROWID_COLUMN}, which its rowid would be called: set key_columns"
            )
        return rowid_column()
    raise ConfigurationError(f"{table.name}: setting {setting} names {name}, which the table does not have")
