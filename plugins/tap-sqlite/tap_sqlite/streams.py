"""A SQLite table as a Singer stream."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sync_rules.column_types import ColumnType
from sync_rules.exits import ConfigurationError
from sync_rules.singer.source import Column, Source, json_schema
from sync_rules.singer.stream import PagedStream

from tap_sqlite import stored
from tap_sqlite.catalog import TableDescription, describe
from tap_sqlite.choices import Choices, choose, key_names
from tap_sqlite.database import Database, folded
from tap_sqlite.declared import BIGINT, BINARY, BOOLEAN, DOUBLE, JSON, TEXT, TableColumn, for_nothing_stored
from tap_sqlite.queries import Queries
from tap_sqlite.rejects import Rejects
from tap_sqlite.table import SqliteTable, rows_at_once

if TYPE_CHECKING:
    from tap_sqlite.tap import TapSqlite

_SETTABLE = {str(kind): kind for kind in (BIGINT, BINARY, BOOLEAN, DOUBLE, JSON, TEXT)}


class TableStream(PagedStream):
    """One table. From a catalog it knows the name only; the table is described afresh when it is read."""

    _tap: TapSqlite

    def __init__(
        self,
        tap: TapSqlite,
        table: str,
        *,
        description: TableDescription | None = None,
        schema: dict[str, Any] | None = None,
    ) -> None:
        self.table_name = table
        super().__init__(
            tap, schema=schema or _schema_of(description), name=f"main-{tap.config.get('table_prefix') or ''}{table}"
        )
        if description is not None:
            known = [description.column(name) for name in key_names(description, tap.config)]
            self.primary_keys = [column.name for column in known if column is not None]
            if tap.config.get("cursor_column") and not self.is_full:
                self.replication_key = tap.config["cursor_column"]

    def open_source(self) -> Source:
        """Open the file, describe the table, settle the types its declarations leave open."""
        database = self._tap.database()
        try:
            description = describe(database, self.table_name)
            choices = self._settled(choose(description, self.config, self.selects), description, database)
            file = self.config.get("reject_file")
            rejects = Rejects(self.config["max_rejects"], self.logger, Path(file) if file else None)
            return SqliteTable(description, choices, self.config, database, rejects, self.logger)
        except BaseException:
            database.close()
            raise

    def _settled(self, chosen: Choices, table: TableDescription, database: Database) -> Choices:
        """The choices with every type known; one look at the whole table where that is needed."""
        as_json = self.config["off_type_values"] == "json"
        given = {folded(name): _type(name, text) for name, text in (self.config.get("column_types") or {}).items()}
        types = {column.name: given.get(folded(column.name), column.type) for column in chosen.columns}
        keyed = {column.name for column in chosen.key}
        open_ones = [
            column
            for column in chosen.columns
            if folded(column.name) not in given
            and not column.is_rowid
            and (column.type is None or (as_json and column.name not in keyed))
        ]
        queries = Queries(table, chosen.columns, chosen.key)
        spelled = [queries.spelled(column) for column in open_ones]
        for column, found in zip(open_ones, stored.look(database, queries.source, spelled), strict=True):
            types[column.name] = stored.settle(column, found, as_json=as_json and column.name not in keyed)
            if types[column.name] != column.type:
                self.logger.info(
                    "%s: %s, declared %s, holds %s: read as %s",
                    table.name,
                    column.name,
                    column.declared or "without a type",
                    ", ".join(f"{count} {kind}" for kind, count in found.kinds.items()) or "nothing",
                    types[column.name],
                )
        texts = [column for column in open_ones if as_json and types[column.name] == TEXT]
        rows = rows_at_once(database, queries, self.config) if texts else 0
        for number in stored.not_utf8(database, queries.source, [queries.spelled(c) for c in texts], rows):
            types[texts[number].name] = JSON
            self.logger.info("%s: %s holds text that is not UTF-8: read as json", table.name, texts[number].name)
        known = {c.name: replace(c, type=types[c.name]) for c in chosen.columns}
        return Choices(
            tuple(known.values()),
            tuple(known[column.name] for column in chosen.key),
            known[chosen.cursor.name] if chosen.cursor else None,
        )

    @property
    def _singer_catalog_entry(self) -> Any:
        """The SDK's entry, with the table's own name."""
        entry = super()._singer_catalog_entry
        entry.table = self.table_name
        entry.metadata.root.schema_name = "main"
        return entry


def _type(name: str, text: str) -> ColumnType:
    if text not in _SETTABLE:
        raise ConfigurationError(f"setting column_types: {name} can be {', '.join(_SETTABLE)}, not {text}")
    return _SETTABLE[text]


def _schema_of(description: TableDescription | None) -> dict[str, Any]:
    """For the catalog. What a declaration leaves open is settled when the table is read, by all that is stored."""
    if description is None:
        return {"type": "object", "properties": {}}
    return json_schema([Column(c.name, _shown(c), not c.not_null, c.declared) for c in description.columns])


def _shown(column: TableColumn) -> ColumnType:
    return column.type or for_nothing_stored(column)
