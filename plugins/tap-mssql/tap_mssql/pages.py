"""One connection reading pages of one table: what a page's rows are, where they end, what was lost in them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pyarrow as pa
from sync_rules.batch_info import Key, KeyValue
from sync_rules.exits import SourceUnreachable

from tap_mssql import arrow_values, clocks, code_pages
from tap_mssql.client import ENCODING, Connection
from tap_mssql.errors import NotOfCodePage, SourceChanged
from tap_mssql.queries import Condition, Statement, TableQueries
from tap_mssql.sql_types import SqlColumn

LARGE_FETCH_BYTES = 16_777_216
"""Most bytes of large values that one fetch may bring, unless a row has more."""
ALONE_BYTES = 4_194_304
"""A row of more bytes is not read beside other ranges: each would hold a page of such rows."""
FETCH_BUFFER_BYTES = 67_108_864
"""Most bytes that a fetch's buffers may take: a driver makes room for every value's declared length, in every row."""
_TRIES = 3
"""How often a page is read in which a row was met twice, or which is empty where there are rows."""
_FORGET = 4
"""Pages of a few large rows become pages of many small ones again, each so many times as long as the last."""


class LargeRows(Exception):
    """A range has rows of more than `ALONE_BYTES`; none of them has been fetched."""


@dataclass(frozen=True)
class PageRows:
    """Rows in the batch file's types and the order they were asked for.

    `num_rows` and `nbytes` are their number and what they take of the memory. `key` and `cursor` are the last row's,
    None for a page without rows; `ended` is true when the range has no more. `digits` and `offsets` count the values
    that lost theirs, `halves` those where half a character may have been replaced. `driver_types` is what the driver
    said the types are; `large` says that some row had more than `ALONE_BYTES`; `repeated`, that a key is there twice.
    """

    batches: list[pa.RecordBatch] = field(repr=False)
    driver_types: list[pa.DataType] | None = field(repr=False)
    num_rows: int = 0
    nbytes: int = 0
    key: Key | None = None
    cursor: KeyValue | None = None
    ended: bool = False
    digits: int = 0
    offsets: int = 0
    halves: int = 0
    large: bool = False
    repeated: bool = False


class PageReader:
    """Reads a table's pages over a connection of its own. Not shared between threads: one query at a time."""

    def __init__(
        self,
        name: str,
        connection: Connection,
        queries: TableQueries,
        schema: pa.Schema,
        config: Mapping[str, Any],
        encodings: Mapping[str, str] | None = None,
    ) -> None:
        """`encodings` names columns that come as they are stored, and Python's names of their code pages."""
        self._name = name
        self.connection = connection
        stored = [] if config["driver"] == "pyodbc" else [c.name for c in queries.columns if c.right_as_stored]
        self._queries = replace(queries, as_stored=frozenset(stored))
        self._schema = schema
        self._config = config
        self._encodings = dict(encodings or {})
        self._possible = {
            name: code_pages.PAGES - {encoding} for name, encoding in self._encodings.items() if encoding != "utf-8"
        }
        self._large = [column for column in queries.columns if column.large]
        self._counts_digits = any(column.lost_digits for column in queries.columns)
        self._counts_offsets = any(column.lost_offset for column in queries.columns)
        self._wide = [number for number, column in enumerate(queries.columns) if column.wide]
        exact = [
            not text or column.base == "timestamp"
            for column, text in zip(queries.key, queries.key_texts(), strict=True)
        ]
        # Arrow cuts a seventh digit of the second: keys that differ in it alone would look the same.
        self._key_at = [schema.get_field_index(column.name) for column in queries.key] if all(exact) else []
        self._row_bytes = 0.0

    def rows(self, statement: Statement) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        sql, values = statement
        return self.connection.rows(sql, values, table=self._name)

    def page_rows(self) -> int:
        """Rows to ask for: fewer than a page where earlier rows showed that bytes will cut it."""
        rows = int(self._config["page_size"])
        if self._row_bytes:
            rows = min(rows, max(1, int(self._config["page_bytes"] / self._row_bytes)))
        return rows

    def read(
        self,
        conditions: Sequence[Condition],
        rows: int,
        *,
        with_cursor: bool = False,
        alone: bool = True,
        lowest: Key | None = None,
    ) -> PageRows:
        """A page of `rows` rows, condition after condition, cut where it holds more than `page_bytes`.

        It is in descending key order or, `with_cursor`, in ascending order of the cursor and the key. The first has
        `ended` only where the server says that no row lies below its last one, or that one is the `lowest` there can
        be: a driver may hand out the first rows of a result that broke off as if they were all. By the cursor, which
        often no index has, asking would read the table once more.

        Raises LargeRows, before any is fetched, for rows that have to be read `alone` where this is not, and
        SourceUnreachable where there are rows and none comes.

        With shared locks a scan of the clustered index meets a row twice that moves in it meanwhile, and the sort by
        another key puts the two side by side: such a page is read again. So is one with a text that came in its code
        page and may mean something else: the column comes in UTF-16 from then on.
        """
        tries = 0
        while tries < _TRIES:
            try:
                found = self._read(conditions, rows, with_cursor=with_cursor, alone=alone, lowest=lowest)
            except NotOfCodePage as error:
                if error.column not in self._encodings:
                    raise  # it would come as it did for ever
                self._read_wide({error.column})
                continue
            if found is None:
                tries += 1
                continue
            doubtful = self._doubtful(found.batches)
            if doubtful:
                self._read_wide(doubtful)
            elif not found.repeated:
                break
            else:
                tries += 1
        if found is None:
            raise SourceUnreachable(
                f"{self._name}: the server answers that there are rows, and sends none; nothing is lost, run it again"
            )
        return found

    def _read_wide(self, columns: Collection[str]) -> None:
        """Have the server, or the driver, make UTF-16 of these columns from now on."""
        self._queries = replace(self._queries, as_stored=self._queries.as_stored - {*columns})
        for name in columns:
            self._encodings.pop(name, None)

    def _prove(self, batches: Sequence[pa.RecordBatch], at: int) -> None:
        """See that the driver, which is told the code page with each result, makes the same of text beyond ASCII.

        The catalog names a code page, and the server sends its text in one: that they are the same is not for us to
        believe, least of all of a view's columns. Asked for one row after another that has a character which would be
        another in a code page that the last ones left possible. Raises NotOfCodePage where it is, or the row changed.
        """
        for name in sorted(self._possible.keys() & self._encodings.keys()):
            encoding, possible = self._encodings[name], self._possible[name]
            for batch in batches:
                column = batch.column(self._schema.get_field_index(name))
                while (row := arrow_values.first_with(column, code_pages.telling(possible, encoding))) is not None:
                    text, asked = column[row].as_py(), batch.slice(row, 1)
                    if any(
                        asked.column(self._schema.get_field_index(key.name)).null_count for key in self._queries.key
                    ):
                        raise NotOfCodePage(name)  # by no key, the row cannot be asked for
                    if self.rows(self._queries.stored(name, self._key_of_last(asked, at))) != [(text,)]:
                        raise NotOfCodePage(name)
                    possible = self._possible[name] = code_pages.agreeing(possible, encoding, text)
            if not possible:
                del self._possible[name]

    def _doubtful(self, batches: Sequence[pa.RecordBatch]) -> set[str]:
        """The columns read as stored whose `?` may be another character."""
        return {
            name
            for name in self._queries.as_stored - self._encodings.keys()
            if any(arrow_values.holds_mark(batch.column(name)) for batch in batches)
        }

    def _read(
        self, conditions: Sequence[Condition], rows: int, *, with_cursor: bool, alone: bool, lowest: Key | None
    ) -> PageRows | None:
        page = self._queries.cursor_page if with_cursor else self._queries.page
        extras = [c for c, text in zip(self._queries.key, self._queries.key_texts(), strict=True) if text]
        raw_schema = self._raw_schema(extras, with_cursor=with_cursor)
        batches: list[pa.RecordBatch] = []
        size = count = 0
        large = False
        for number, condition in enumerate(conditions):
            before = count
            sql, values = page(rows - count, condition)
            largest = 0
            if self._large:
                question = self._queries.largest_value(self._large, rows - count, condition, by_cursor=with_cursor)
                largest = self._bytes(question)
            large = large or largest > ALONE_BYTES
            if large and not alone:
                raise LargeRows
            most = rows - count
            fetch = min(most, self._fetch_size(largest))
            source = self.connection.batches(
                sql, values, fetch, raw_schema, table=self._name, most=most, asked_on=not with_cursor
            )
            for batch in source:
                if not batch.num_rows:
                    continue
                batches.append(batch)
                count, size = count + batch.num_rows, size + batch.nbytes
                if size >= self._config["page_bytes"] and count < rows:
                    source.close()
                    self._row_bytes = max(self._row_bytes / _FORGET, size / count)
                    return self._finish(batches, count, size, ended=False, with_cursor=with_cursor, large=large)
            if count >= rows:
                self._row_bytes = max(self._row_bytes / _FORGET, size / count) if self._row_bytes else 0.0
                return self._finish(batches, count, size, ended=False, with_cursor=with_cursor, large=large)
            last = batches[-1] if count > before else None
            if not with_cursor and self._has_more(condition, len(conditions) - 1 - number, last, lowest):
                return self._finish(batches, count, size, ended=False, large=large) if batches else None
        return self._finish(batches, count, size, ended=True, with_cursor=with_cursor, large=large)

    def _has_more(self, condition: Condition, fixed: int, last: pa.RecordBatch | None, lowest: Key | None) -> bool:
        """Whether the condition has rows below the last one of those that came, None where none did."""
        key = None
        if last is not None:
            with self._fitting():
                arrow_values.cast_batch(last.slice(last.num_rows - 1), self._schema)
                key = self._key_of_last(last, len(self._schema) + len(self._queries.losses))
            if key == lowest:
                return False
        questions = self._queries.further(condition, fixed, key)
        answers = (self.connection.rows(sql, values, table=self._name, most=1) for sql, values in questions)
        return any(not answer or answer[0][0] for answer in answers)

    def read_whole(self) -> Iterator[PageRows]:
        """All rows in one pass, handed on in pages."""
        sql, values = self._queries.whole()
        largest = self._bytes(self._queries.largest_value_of_all(self._large)) if self._large else 0
        page: list[pa.RecordBatch] = []
        rows = size = 0
        for batch in self.connection.batches(
            sql, values, self._fetch_size(largest), self._raw_schema([], stored=False), table=self._name
        ):
            page.append(batch)
            rows, size = rows + batch.num_rows, size + batch.nbytes
            if rows >= self._config["page_size"] or size >= self._config["page_bytes"]:
                yield self._finish(page, rows, size, ended=False, keyed=False)
                page, rows, size = [], 0, 0
        if page:
            yield self._finish(page, rows, size, ended=True, keyed=False)

    def _bytes(self, question: Statement) -> int:
        """How many bytes the large values of one row have, at most; 0 where there is none."""
        return int(self.rows(question)[0][0] or 0)

    def _fetch_size(self, largest: int) -> int:
        """Rows a fetch: as set, unless wide rows or large values would make it too big for the memory."""
        declared = sum(max(column.max_length * 2, 16) for column in self._queries.columns)
        fetch = max(1, min(int(self._config["fetch_size"]), FETCH_BUFFER_BYTES // declared))
        return max(1, min(fetch, LARGE_FETCH_BYTES // max(1, largest)))

    def _finish(
        self,
        batches: list[pa.RecordBatch],
        rows: int,
        size: int,
        *,
        ended: bool,
        keyed: bool = True,
        with_cursor: bool = False,
        large: bool = False,
    ) -> PageRows:
        """Count losses, take the extras off, cast. The raw batches are let go one by one."""
        if not batches:
            return PageRows([], None, ended=True)
        at, digits, offsets, cursor = len(self._schema), 0, 0, None
        if self._counts_digits:
            digits = arrow_values.sums(batches, at)
            at += 1
        if self._counts_offsets:
            offsets = arrow_values.sums(batches, at)
            at += 1
        if keyed and self._possible:
            with self._fitting():
                self._prove(batches, at)
        final = batches[-1]
        if with_cursor:
            cursor = arrow_values.key_value(final.column(final.num_columns - 1)[-1].as_py())
        with self._fitting():
            key = self._key_of_last(final, at) if keyed else None
            driver_types = final.schema.types
            del final
            cast = [arrow_values.cast_batch(batches.pop(0), self._schema) for _ in range(len(batches))]
        halves = sum(arrow_values.replaced(batch, self._wide) for batch in cast)
        repeated = keyed and not with_cursor and arrow_values.repeats(cast, self._key_at)
        return PageRows(cast, driver_types, rows, size, key, cursor, ended, digits, offsets, halves, large, repeated)

    @contextmanager
    def _fitting(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SourceChanged(f"{self._name}: values do not fit the types the table was described with") from error

    def _key_of_last(self, batch: pa.RecordBatch, extras: int) -> Key:
        """The last row's key, from the columns themselves or from their exact texts."""
        values: list[KeyValue] = []
        for column, text in zip(self._queries.key, self._queries.key_texts(), strict=True):
            if text:
                value, extras = batch.column(extras)[-1].as_py(), extras + 1
            else:
                value = batch.column(self._schema.get_field_index(column.name))[-1].as_py()
            values.append(bound_value(column, value))
        return tuple(values)

    def _raw_schema(
        self, key_texts: Sequence[SqlColumn], *, with_cursor: bool = False, stored: bool = True
    ) -> pa.Schema:
        """The schema with the extras, for a driver that has to be told the types, or the code pages."""
        fields = [self._field(field) if stored else field for field in self._schema]
        fields += [pa.field(f"_loss_{n}", pa.int32()) for n in range(len(self._queries.losses))]
        fields += [pa.field(f"_key_{c.name}", clocks.text_type(c)) for c in key_texts]
        if with_cursor and self._queries.cursor is not None:
            fields.append(pa.field("_cursor", clocks.text_type(self._queries.cursor)))
        return pa.schema(fields)

    def _field(self, field: pa.Field) -> pa.Field:
        encoding = self._encodings.get(field.name)
        return field.with_metadata({ENCODING: encoding.encode()}) if encoding else field


def bound_value(column: SqlColumn, value: Any) -> KeyValue:
    """A key value as it is bound: `datetime` takes three digits of the second, not six."""
    bound = arrow_values.key_value(value)
    if column.base == "datetime" and isinstance(bound, str) and "." in bound:
        return bound[:23]
    if column.base == "uniqueidentifier" and isinstance(value, bytes):
        return str(UUID(bytes=value)).upper()
    return bound
