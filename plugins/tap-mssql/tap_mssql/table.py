"""One SQL Server table as a `Source`: what is selected, how pages are read, what they end at."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from sync_rules.batch_info import Key, KeyValue
from sync_rules.exits import ConfigurationError
from sync_rules.full import Beginning, KeyRange, Page
from sync_rules.incremental import Clock, CursorPage, Window
from sync_rules.singer.source import Column, Loss, arrow_schema, fingerprint

from tap_mssql import arrow_values, clocks
from tap_mssql.client import Connection
from tap_mssql.discovery import TableDescription
from tap_mssql.errors import SourceChanged
from tap_mssql.queries import Statement, TableQueries
from tap_mssql.sql_types import SqlColumn, orderable

LARGE_FETCH_BYTES = 16_777_216
"""Most bytes of large values that one fetch may bring."""
FETCH_BUFFER_BYTES = 67_108_864
"""Most bytes that a fetch's buffers may take: a driver makes room for every value's declared length, in every row."""


@dataclass(frozen=True)
class Choices:
    """What the settings and the catalog choose for one table."""

    key: tuple[str, ...]
    cursor: str | None
    needs_cursor: bool
    selects: Callable[[str], bool]


def choose(table: TableDescription, config: Mapping[str, Any], selects: Callable[[str], bool]) -> Choices:
    """Key and cursor by the settings, else by the table. Raises ConfigurationError for a column that is not there."""
    key = tuple(_existing(table, name, "key_columns") for name in config.get("key_columns") or ())
    key = key or table.natural_key
    incremental = config["sync_mode"] == "incremental"
    wanted = config.get("cursor_column")
    if wanted:
        cursor: str | None = _existing(table, wanted, "cursor_column")
    else:
        usual = table.column("mod_ts")
        cursor = usual.name if usual else None
    for name in key:
        column = table.column(name)
        if column is None or not orderable(column):
            raise ConfigurationError(f"{table.name}: {name} cannot be a key: SQL Server cannot order by its type")
    if incremental and cursor is None:
        raise ConfigurationError(f"{table.name}: an incremental sync needs cursor_column: the table has no mod_ts")
    if incremental and not key:
        raise ConfigurationError(f"{table.name}: an incremental sync needs a key: set key_columns")
    described = table.column(cursor) if cursor else None
    if described is not None and not clocks.can_be_cursor(described):
        if incremental or wanted:
            raise ConfigurationError(f"{table.name}: {cursor} cannot be a cursor: its type is {described.declared}")
        cursor = None
    return Choices(key, cursor, incremental, selects)


def _existing(table: TableDescription, name: str, setting: str) -> str:
    column = table.column(name)
    if column is None:
        raise ConfigurationError(f"{table.name}: setting {setting} names {name}, which the table does not have")
    return column.name


@dataclass
class MssqlTable:
    """A table opened for reading. Not shared between threads: one connection, one query at a time."""

    description: TableDescription
    choices: Choices
    config: Mapping[str, Any]
    connection: Connection
    database_collation: str | None
    log: logging.Logger
    _digits: int = 0
    _offsets: int = 0
    _row_bytes: float = 0.0
    _driver_schema: pa.Schema | None = None
    columns: list[Column] = field(init=False)

    def __post_init__(self) -> None:
        always = {*self.choices.key, self.choices.cursor if self.choices.needs_cursor else None}
        chosen = [c for c in self.description.columns if c.name in always or self.choices.selects(c.name)]
        self._chosen = tuple(chosen)
        self.columns = [Column(c.name, c.type, c.nullable and c.name not in self.key, c.declared) for c in chosen]
        self._schema = arrow_schema(self.columns)
        self._large = [column for column in chosen if column.large]
        self._digit_columns = [column for column in chosen if column.lost_digits]
        self._offset_columns = [column for column in chosen if column.lost_offset]
        counted = ([c.lost_digits for c in self._digit_columns], [c.lost_offset for c in self._offset_columns])
        self._queries = TableQueries(
            table=self.description.name.quoted,
            columns=self._chosen,
            key=tuple(self._column(name) for name in self.key),
            cursor=self._column(self.cursor) if self.cursor else None,
            losses=tuple(" + ".join(text or "0" for text in texts) for texts in counted if texts),
            database_collation=self.database_collation,
        )

    @property
    def name(self) -> str:
        """`schema.table`."""
        return str(self.description.name)

    @property
    def key(self) -> Sequence[str]:
        """Names of the key columns."""
        return self.choices.key

    @property
    def cursor(self) -> str | None:
        """Name of the cursor column."""
        return self.choices.cursor

    @property
    def fingerprint(self) -> str:
        """Columns, types, key, and the collations that the key's order rests on."""
        collations = [column.collation for column in self._queries.key]
        return fingerprint(self.columns, self.key, collations)

    def begin(self) -> Beginning:
        """The source's clocks, then its highest key: a row above it was inserted after the clocks were read."""
        clock = self.clock()
        self._check_key()
        upper: Key | None = None
        if self.key:
            found = self._rows(self._queries.upper_key())
            upper = (
                tuple(self._bound_value(c, v) for c, v in zip(self._queries.key, found[0], strict=True))
                if found
                else None
            )
        return Beginning(
            started_at=clock.started_at,
            upper_key=upper,
            estimate=self.estimate(),
            cursor_at_start=clock.now if self.cursor else None,
            cursor_column=self.cursor,
            utc_offset_minutes=clock.utc_offset_minutes,
        )

    def clock(self) -> Clock:
        """The source's clock in the cursor's terms."""
        return clocks.read(self.connection, self._queries, self.config["cursor_clock"], self.name)

    def estimate(self) -> int | None:
        """The catalog's row count."""
        return self.description.rows

    def read_page(self, key_range: KeyRange) -> Page:
        """The next page down, cut by rows or bytes."""
        rows = self._page_rows()
        batches, ended = self._read(self._queries.page(rows, key_range.upper, key_range.below), rows)
        if not batches:
            return Page([], None, last=True)
        extras = len(self._schema) + len(self._queries.losses)
        lowest = self._key_of_last(batches[-1], extras)
        return Page(self._finish(batches), lowest, last=ended)

    def read_whole(self) -> Iterator[list[pa.RecordBatch]]:
        """All rows in one pass, handed on in pages."""
        statement = self._queries.whole()
        sql, values = statement
        page: list[pa.RecordBatch] = []
        rows = size = 0
        for batch in self.connection.batches(
            sql, values, self._fetch_size(statement), self._raw_schema([]), table=self.name
        ):
            page.append(batch)
            rows, size = rows + batch.num_rows, size + batch.nbytes
            if rows >= self.config["page_size"] or size >= self.config["page_bytes"]:
                yield self._finish(page)
                page, rows, size = [], 0, 0
        if page:
            yield self._finish(page)

    def read_cursor_page(self, window: Window) -> CursorPage:
        """The next page up, cut by rows or bytes."""
        rows = self._page_rows()
        statement = self._queries.cursor_page(rows, window.low, window.high, window.after)
        batches, ended = self._read(statement, rows, with_cursor=True)
        if not batches:
            return CursorPage([], None, last=True)
        extras = len(self._schema) + len(self._queries.losses)
        final = batches[-1]
        cursor = arrow_values.key_value(final.column(final.num_columns - 1)[-1].as_py())
        return CursorPage(self._finish(batches), (cursor, self._key_of_last(final, extras)), last=ended)

    def null_cursors(self) -> int:
        """Rows without a cursor; not asked where the column cannot be null."""
        if self._queries.cursor is None or not self._queries.cursor.nullable:
            return 0
        return int(self._rows(self._queries.null_cursors())[0][0])

    def losses(self) -> Sequence[Loss]:
        """Seventh digits and offsets."""
        digits = ", ".join(column.name for column in self._digit_columns)
        offsets = ", ".join(column.name for column in self._offset_columns)
        return [
            Loss(self._digits, f"their seventh digit of the second ({digits}): Arrow and PostgreSQL hold microseconds"),
            Loss(self._offsets, f"their offset from UTC ({offsets}): the instant is kept"),
        ]

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _column(self, name: str) -> SqlColumn:
        found = self.description.column(name)
        if found is None:
            raise ConfigurationError(f"{self.name}: there is no column {name}")
        return found

    def _rows(self, statement: Statement) -> list[tuple[Any, ...]]:
        sql, values = statement
        return self.connection.rows(sql, values, table=self.name)

    def _check_key(self) -> None:
        """A key that the database does not keep unique is looked at first: paging by it could skip rows."""
        if not self.key or self.description.is_unique(self.key):
            return
        shown = ", ".join(self.key)
        self.log.warning(
            "%s: no unique index has the key (%s): checking it, and each page may scan the table", self.name, shown
        )
        if any(column.nullable for column in self._queries.key) and int(self._rows(self._queries.null_keys())[0][0]):
            raise ConfigurationError(f"{self.name}: the key ({shown}) is NULL in some rows: set another key_columns")
        if self._rows(self._queries.repeated_keys()):
            raise ConfigurationError(f"{self.name}: the key ({shown}) is not unique: set another key_columns")

    def _page_rows(self) -> int:
        """Rows to ask for: fewer than a page where earlier rows showed that bytes will cut it."""
        rows = int(self.config["page_size"])
        if self._row_bytes:
            rows = min(rows, max(1, int(self.config["page_bytes"] / self._row_bytes)))
        return rows

    def _fetch_size(self, statement: Statement) -> int:
        """Rows a fetch: as set, unless wide rows or large values would make it too big for the memory."""
        declared = sum(max(column.max_length * 2, 16) for column in self._chosen)
        fetch = max(1, min(int(self.config["fetch_size"]), FETCH_BUFFER_BYTES // declared))
        if not self._large:
            return fetch
        sql, values = self._queries.largest_value(statement, self._large)
        largest = self.connection.rows(sql, values, table=self.name)[0][0] or 0
        return max(1, min(fetch, LARGE_FETCH_BYTES // max(1, int(largest))))

    def _read(self, statement: Statement, rows: int, *, with_cursor: bool = False) -> tuple[list[pa.RecordBatch], bool]:
        """The driver's batches, and whether the range is exhausted."""
        sql, values = statement
        extras = [c for c, text in zip(self._queries.key, self._queries.key_texts(), strict=True) if text]
        raw_schema = self._raw_schema(extras, with_cursor=with_cursor)
        batches: list[pa.RecordBatch] = []
        size = count = 0
        source = self.connection.batches(
            sql, values, min(rows, self._fetch_size(statement)), raw_schema, table=self.name
        )
        for batch in source:
            self._check_schema(batch.schema)
            batches.append(batch)
            count, size = count + batch.num_rows, size + batch.nbytes
            if size >= self.config["page_bytes"] and count < rows:
                source.close()
                self._row_bytes = max(self._row_bytes, size / count)
                return batches, False
        return batches, count < rows

    def _check_schema(self, schema: pa.Schema) -> None:
        """The driver's types must stay those of the first page: else a column was altered while the sync ran."""
        if self._driver_schema is None:
            self._driver_schema = schema
        elif not schema.equals(self._driver_schema):
            raise SourceChanged(
                f"{self.name}: a column's type changed while it was read; the next run describes it afresh"
            )

    def _finish(self, batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
        """Count losses, take the extras off, cast."""
        at = len(self._schema)
        if self._digit_columns:
            self._digits += arrow_values.sums(batches, at)
            at += 1
        if self._offset_columns:
            self._offsets += arrow_values.sums(batches, at)
        try:
            return [arrow_values.cast_batch(batch, self._schema) for batch in batches]
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SourceChanged(f"{self.name}: values do not fit the types the table was described with") from error

    def _key_of_last(self, batch: pa.RecordBatch, extras: int) -> Key:
        """The last row's key, from the columns themselves or from their exact texts."""
        values: list[KeyValue] = []
        for column, text in zip(self._queries.key, self._queries.key_texts(), strict=True):
            if text:
                value, extras = batch.column(extras)[-1].as_py(), extras + 1
            else:
                value = batch.column(self._schema.get_field_index(column.name))[-1].as_py()
            values.append(self._bound_value(column, value))
        return tuple(values)

    @staticmethod
    def _bound_value(column: SqlColumn, value: Any) -> KeyValue:
        """A key value as it is bound: `datetime` takes three digits of the second, not six."""
        bound = arrow_values.key_value(value)
        if column.base == "datetime" and isinstance(bound, str) and "." in bound:
            return bound[:23]
        if column.base == "uniqueidentifier" and isinstance(value, bytes):
            from uuid import UUID

            return str(UUID(bytes=value)).upper()
        return bound

    def _raw_schema(self, key_texts: Sequence[SqlColumn], *, with_cursor: bool = False) -> pa.Schema:
        """The schema with the extras, for a driver that has to be told the types."""
        fields = list(self._schema)
        fields += [pa.field(f"_loss_{n}", pa.int32()) for n in range(len(self._queries.losses))]
        fields += [pa.field(f"_key_{c.name}", clocks.text_type(c)) for c in key_texts]
        if with_cursor and self._queries.cursor is not None:
            fields.append(pa.field("_cursor", clocks.text_type(self._queries.cursor)))
        return pa.schema(fields)
