"""A SQL Server table as a Singer stream."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sync_rules.singer.source import Column, Source, json_schema
from sync_rules.singer.stream import PagedStream

from tap_mssql.discovery import TableDescription, TableName, describe_one

if TYPE_CHECKING:
    from tap_mssql.client import Connection
    from tap_mssql.table import Choices, MssqlTable
    from tap_mssql.tap import TapMssql


class TableStream(PagedStream):
    """One table. From a catalog it knows the name only; the table is described afresh when it is read."""

    _tap: TapMssql

    def __init__(
        self,
        tap: TapMssql,
        name: TableName,
        *,
        description: TableDescription | None = None,
        schema: dict[str, Any] | None = None,
    ) -> None:
        self.table_name = name
        self._description = description
        super().__init__(tap, schema=schema or _schema_of(description), name=name.stream)
        if description is not None:
            key = tap.config.get("key_columns")
            self.primary_keys = list(description.natural_key if key is None else key)
            cursor = description.column(tap.config.get("cursor_column") or "mod_ts")
            if cursor is not None and not self.is_full:
                self.replication_key = cursor.name

    @property
    def provable_as(self) -> str:
        """The quoted name: a table's own may hold a dot."""
        return self.table_name.quoted

    def open_source(self) -> Source:
        """Describe the table, choose its key and cursor, connect."""
        from tap_mssql import hidden, variants
        from tap_mssql.client import driver_for
        from tap_mssql.table import choose

        connection = self._tap.connection()
        description = describe_one(connection, self.table_name)
        choices = choose(description, self.config, self.selects)
        read = choices.columns_of(description)
        hidden.check(connection, description.name, read, self.logger)
        columns = list(map(description.existing, read))
        variants.check(connection, description.name, columns)
        driver = driver_for(self.config, columns)
        if driver != driver_for(self.config):
            connection.close()
            connection = self._tap.connection(driver)
        table = self._table(description, choices, connection, driver)
        natural = ", ".join(description.natural_key)
        why = table.broken_key() if choices.guessed and self.is_full else ""
        if not choices.key and natural and self.config.get("key_columns") is None:
            why = f"rows cannot be paged by the key ({natural})"
        if why:
            self.logger.warning("%s: %s: read without a key", description.name, why)
            table = self._table(description, replace(choices, key=(), guessed=False), connection, driver)
        if not table.key:
            self._config["sync_limit_seconds"] = None  # cut short, it would begin anew, and be cut short again
        return table

    def _table(
        self, description: TableDescription, choices: Choices, connection: Connection, driver: str
    ) -> MssqlTable:
        from tap_mssql.table import MssqlTable

        config = {**self.config, "driver": driver}
        if self.ABORT_AT_RECORD_COUNT is not None:
            config["page_size"] = self.ABORT_AT_RECORD_COUNT
        return MssqlTable(
            description,
            choices,
            config,
            connection,
            partial(self._tap.connection, driver),
            self._tap.database_collation,
            self.logger,
        )

    @property
    def _singer_catalog_entry(self) -> Any:
        """The SDK's entry, with what only a database knows."""
        entry = super()._singer_catalog_entry
        entry.table = self.table_name.table
        entry.metadata.root.schema_name = self.table_name.schema
        if self._description is not None:
            entry.is_view = self._description.is_view
            entry.row_count = self._description.rows
            entry.database = self.config.get("database")
        return entry


def _schema_of(description: TableDescription | None) -> dict[str, Any]:
    if description is None:
        return {"type": "object", "properties": {}}
    return json_schema([Column(c.name, c.type, c.nullable, c.declared) for c in description.columns])
