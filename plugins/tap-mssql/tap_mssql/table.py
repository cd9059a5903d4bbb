"""One SQL Server table as a `Source`: what is selected, how pages are read, what they end at."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow as pa
from sync_rules.batch_info import Key, KeyValue
from sync_rules.bookmarks import FullBookmark
from sync_rules.exits import ConfigurationError
from sync_rules.full import Beginning, KeyRange, Page
from sync_rules.incremental import Clock, CursorPage, Window
from sync_rules.lookback import earlier
from sync_rules.singer.source import Column, Loss, arrow_schema, fingerprint
from sync_rules.spans import SpanPage, SpanReader

from tap_mssql import clocks, survey
from tap_mssql.client import Connection, round_trip_seconds, server_name
from tap_mssql.discovery import TableDescription, describe_one
from tap_mssql.errors import SourceChanged
from tap_mssql.pages import LargeRows, PageReader, PageRows, bound_value
from tap_mssql.queries import INTEGERS, TableQueries
from tap_mssql.readers import Readers
from tap_mssql.sql_types import orderable

NEAR_SECONDS = 0.005
"""A server that answers sooner is on this machine or beside it: readers wait for processors, not for the network."""
AHEAD_BYTES = 16_777_216
"""What ranges read ahead of their turn may take of the memory, beyond one page a reader."""

_LEAST_SHARE = 0.99
"""What is read of the rows that the catalog counts, unless some are hidden: its count is nearly exact."""

PAGES_ALONE = 8
"""So many pages without large values, and ranges are read in parallel again."""


@dataclass(frozen=True)
class Choices:
    """What the settings and the catalog choose for one table.

    `guessed` is a key that neither a setting names nor the database keeps unique.
    """

    key: tuple[str, ...]
    cursor: str | None
    needs_cursor: bool
    selects: Callable[[str], bool]
    guessed: bool = False

    def columns_of(self, table: TableDescription) -> list[str]:
        """The columns that are read: the key, a cursor that is needed, and what is selected."""
        always = {*self.key, self.cursor if self.needs_cursor else None}
        return [column.name for column in table.columns if column.name in always or self.selects(column.name)]


def choose(table: TableDescription, config: Mapping[str, Any], selects: Callable[[str], bool]) -> Choices:
    """Key and cursor by the settings, else by the table. Raises ConfigurationError for a column that is not there.

    An empty `key_columns` is a table without a key. So is, in a full sync, a key of the table's own that rows cannot be
    paged by.
    """
    wanted_key = config.get("key_columns")
    key = table.natural_key if wanted_key is None else tuple(_existing(table, n, "key_columns") for n in wanted_key)
    incremental = config["sync_mode"] == "incremental"
    if wanted_key is None and not incremental and not all(map(orderable, map(table.existing, key))):
        key = ()
    wanted = config.get("cursor_column")
    if wanted:
        cursor: str | None = _existing(table, wanted, "cursor_column")
    else:
        usual = table.column("mod_ts")
        cursor = usual.name if usual else None
    for name in key:
        if not orderable(table.existing(name)):
            raise ConfigurationError(f"{table.name}: {name} cannot be a key: rows cannot be paged by its type")
    if incremental and cursor is None:
        raise ConfigurationError(f"{table.name}: an incremental sync needs cursor_column: the table has no mod_ts")
    if incremental and not key:
        raise ConfigurationError(f"{table.name}: an incremental sync needs a key: set key_columns")
    described = table.column(cursor) if cursor else None
    if described is not None and not clocks.can_be_cursor(described):
        if incremental or wanted:
            raise ConfigurationError(f"{table.name}: {cursor} cannot be a cursor: its type is {described.declared}")
        cursor = None
    if incremental and described is not None and clocks.counts(described) and config.get("start_date"):
        raise ConfigurationError(f"{table.name}: start_date is a time, and {cursor} counts: unset it")
    guessed = wanted_key is None and bool(key) and not table.is_unique(key)
    return Choices(key, cursor, incremental, selects, guessed)


def _existing(table: TableDescription, name: str, setting: str) -> str:
    column = table.column(name)
    if column is None:
        raise ConfigurationError(f"{table.name}: setting {setting} names {name}, which the table does not have")
    return column.name


class MssqlTable:
    """A table opened for reading. Not shared between threads; it reads ranges of a number key in threads of its own.

    `connect` opens one more connection like `connection`.
    """

    def __init__(
        self,
        description: TableDescription,
        choices: Choices,
        config: Mapping[str, Any],
        connection: Connection,
        connect: Callable[[], Connection],
        database_collation: str | None,
        log: logging.Logger,
    ) -> None:
        self._description = description
        self._choices = choices
        self._config = config
        self._connection = connection
        self._log = log
        names = set(choices.columns_of(description))
        chosen = tuple(column for column in description.columns if column.name in names)
        self.columns = [Column(c.name, c.type, c.nullable and c.name not in choices.key, c.declared) for c in chosen]
        self._digit_columns = [column.name for column in chosen if column.lost_digits]
        self._offset_columns = [column.name for column in chosen if column.lost_offset]
        self._wide_columns = [column.name for column in chosen if column.wide]
        counted = ([c.lost_digits for c in chosen if c.lost_digits], [c.lost_offset for c in chosen if c.lost_offset])
        self._queries = TableQueries(
            table=description.name.quoted,
            columns=chosen,
            key=tuple(map(description.existing, choices.key)),
            cursor=description.existing(choices.cursor) if choices.cursor else None,
            losses=tuple(" + ".join(text or "0" for text in texts) for texts in counted if texts),
            database_collation=database_collation,
        )
        if choices.needs_cursor and (gap := clocks.gap(connection, self._queries.cursor)):
            log.warning(
                "%s: %s %s: a row committed after a higher one was read is left to the next full sync",
                self.name,
                choices.cursor,
                gap,
            )
        cut = [column.name for column in self._queries.key if column.lost_digits]
        if choices.needs_cursor and cut:
            log.warning(
                "%s: rows whose key differs in the seventh digit of %s alone become one", self.name, ", ".join(cut)
            )
        self._zone = clocks.zone_of(
            connection, description.name.quoted, self._queries.cursor, str(config["cursor_clock"])
        )
        encodings = self._encodings()
        self._readers = Readers(
            lambda opened: PageReader(self.name, opened, self._queries, arrow_schema(self.columns), config, encodings),
            connection,
            connect,
            lambda why: log.warning("%s: no further connection for a parallel reader: %s", self.name, why),
        )
        self._reader = self._readers.first
        self._ranges: Generator[PageRows, None, None] | None = None
        self._ranges_ended = False
        self._pages_alone = 0
        self._driver_types: list[pa.DataType] | None = None
        self._digits = 0
        self._offsets = 0
        self._halves = 0

    @property
    def name(self) -> str:
        """`schema.table`."""
        return str(self._description.name)

    @property
    def key(self) -> Sequence[str]:
        """Names of the key columns."""
        return self._choices.key

    @property
    def cursor(self) -> str | None:
        """Name of the cursor column."""
        return self._choices.cursor

    @property
    def fingerprint(self) -> str:
        """Server, database, table, columns, types, key, and the collations that the key's order rests on."""
        collations = [column.collation for column in self._queries.key]
        place = [server_name(self._config), self._config.get("database"), self._description.number]
        return fingerprint(self.columns, self.key, collations, place)

    def begin(self) -> Beginning:
        """The source's clocks, then its highest key: a row above it was inserted after the clocks were read."""
        clock = self.clock()
        if not self._choices.guessed:  # else it was looked at before the table was opened by it
            self._refuse(self.broken_key())
        upper: Key | None = None
        if self.key:
            found = self._reader.rows(self._queries.upper_key())
            upper = (
                tuple(bound_value(c, v) for c, v in zip(self._queries.key, found[0], strict=True)) if found else None
            )
        return Beginning(
            started_at=clock.started_at,
            upper_key=upper,
            estimate=self.estimate(),
            cursor_at_start=self._handover(clock.now) if self.cursor else None,
            cursor_column=self.cursor,
            utc_offset_minutes=clock.utc_offset_minutes,
        )

    def check_whole(self, bookmark: FullBookmark) -> None:
        """Raise SourceChanged for a table that is not the one the sync began with: pages may be of both.

        Warn where fewer rows came than the catalog counts, then and now: it counts those that a policy hides, too. Few
        logins are told of a policy.
        """
        replaced = SourceChanged(
            f"{self.name}: it was altered, or another table took its name, while it was read; the next run begins anew"
        )
        try:
            with self._readers.one() as reader:  # the one used last: another may have been idle for too long
                now = describe_one(reader.connection, self._description.name)
        except ConfigurationError as error:
            raise replaced from error
        if now.number != self._description.number or not {*self._queries.columns} <= {*now.columns}:
            raise replaced
        counted = min(bookmark.estimate or 0, now.rows or 0)
        if bookmark.rows < counted * _LEAST_SHARE:
            self._log.warning(
                "%s: %d rows came where the catalog counts %d: unless the others were deleted before they were read, a"
                " security policy may hide them from this login, and they count as deleted",
                self.name,
                bookmark.rows,
                counted,
            )

    def clock(self) -> Clock:
        """The source's clock in the cursor's terms."""
        return clocks.read(self._connection, self._queries, self._zone, self.name)

    def estimate(self) -> int | None:
        """The catalog's row count."""
        return self._description.rows

    def read_page(self, key_range: KeyRange) -> Page:
        """The next page down, cut by rows or bytes. Pages have to follow each other, as the sync rules ask for them."""
        if not self._pages_alone and self._reads_in_parallel():
            try:
                return self._next_of_ranges(key_range)
            except LargeRows:
                # What the ranges hold already is read once more: pages have to follow each other.
                self._ranges, self._pages_alone = None, PAGES_ALONE
        with self._readers.one() as reader:
            conditions = self._queries.below(key_range.upper, key_range.below)
            found = reader.read(conditions, reader.page_rows())
        if found.ended and not self._description.is_unique(self.key):
            # Once more: a row added since with a key that was there may lie behind a page's end.
            self._refuse(self._fault())
        self._pages_alone = PAGES_ALONE if found.large else max(0, self._pages_alone - 1)
        return self._page(found, last=found.ended)

    def read_whole(self) -> Iterator[list[pa.RecordBatch]]:
        """All rows in one pass, handed on in pages."""
        for found in self._reader.read_whole():
            self._take(found)
            yield found.batches

    def read_cursor_page(self, window: Window) -> CursorPage:
        """The next page up, cut by rows or bytes."""
        rows = self._reader.page_rows()
        after = window.after or (None if window.within is None else (window.low, window.within))
        conditions = self._queries.window(window.low, window.high, after)
        found = self._reader.read(conditions, rows, with_cursor=True)
        self._take(found)
        if found.cursor is None or found.key is None:
            return CursorPage([], None, last=True)
        end = (found.cursor, found.key)
        return CursorPage(found.batches, end, last=found.ended, resume=end)

    def null_cursors(self) -> int:
        """Rows without a cursor; not asked where the column cannot be null."""
        if self._queries.cursor is None or not self._queries.cursor.nullable:
            return 0
        return int(self._reader.rows(self._queries.null_cursors())[0][0])

    def losses(self) -> Sequence[Loss]:
        """Seventh digits, offsets, and half characters."""
        digits, offsets = ", ".join(self._digit_columns), ", ".join(self._offset_columns)
        wide = ", ".join(self._wide_columns)
        return [
            Loss(self._digits, f"their seventh digit of the second ({digits}): Arrow and PostgreSQL hold microseconds"),
            Loss(self._offsets, f"their offset from UTC ({offsets}): the instant is kept"),
            Loss(
                self._halves, f"half a character, unless the source itself holds U+FFFD ({wide}): UTF-8 has no halves"
            ),
        ]

    def close(self) -> None:
        """Close every connection. Where ranges are still being read the process ends without waiting for them."""
        if self._ranges is not None:
            self._ranges.close()
        if not self._readers.in_use and (self._ranges is None or self._ranges_ended):
            self._readers.close()

    def _encodings(self) -> dict[str, str]:
        """For each text column that the tap itself reads as it is stored, in which code page that is."""
        if self._config["driver"] != "msodbcsql":
            return {}
        stored = {column.name: str(column.collation) for column in self._queries.columns if column.right_as_stored}
        known = survey.encodings(self._connection, set(stored.values()))
        named = {name: known.get(collation, "ascii") for name, collation in stored.items()}
        return {**named, **{column.name: "utf-8" for column in self._queries.columns if column.in_utf8}}

    def _handover(self, now: KeyValue) -> KeyValue:
        """The clock, or the newest stamp where that is lower; said where a lookback would not have reached it."""
        found = clocks.newest(self._connection, self._queries, self._description.name, now)
        lookback = timedelta(minutes=int(self._config["lookback_minutes"]))
        if isinstance(found, str) and clocks.LONG_AGO < found < str(earlier(now, lookback)):
            self._log.info(
                "%s: the newest %s is further behind the source's clock than the lookback: the first incremental sync"
                " starts from it, in case rows are stamped by another clock",
                self.name,
                self.cursor,
            )
        return found

    def broken_key(self) -> str:
        """Why paging by a key that the database does not keep unique could skip rows; empty where it could not."""
        if not self.key or self._description.is_unique(self.key):
            return ""
        shown = ", ".join(self.key)
        self._log.warning(
            "%s: no unique index has the key (%s): checking it, and each page may scan the table", self.name, shown
        )
        return self._fault()

    def _fault(self) -> str:
        shown = ", ".join(self.key)
        nullable = any(column.nullable for column in self._queries.key)
        if nullable and int(self._reader.rows(self._queries.null_keys())[0][0]):
            return f"the key ({shown}) is NULL in some rows"
        return f"the key ({shown}) is not unique" if self._reader.rows(self._queries.repeated_keys()) else ""

    def _refuse(self, fault: str) -> None:
        if fault and self._choices.guessed:
            raise SourceChanged(f"{self.name}: {fault} since this run began: the next one reads without a key")
        if fault:
            raise ConfigurationError(f"{self.name}: {fault}: set another key_columns")

    def _reads_in_parallel(self) -> bool:
        """Ranges are of one whole number that an index has: without it each range would scan the table."""
        key = self._queries.key
        return (
            int(self._config["max_parallelism"]) > 1
            and len(key) == 1
            and key[0].base in INTEGERS
            and self._description.is_unique(self.key)
        )

    def _next_of_ranges(self, key_range: KeyRange) -> Page:
        """The next page of what the ranges bring in order. Raises LargeRows where one reader alone has to go on."""
        if self._ranges is None:
            self._ranges = iter(self._open_ranges(key_range))
        found = next(self._ranges, None)
        self._ranges_ended = found is None
        return Page([], None, last=True) if found is None else self._page(found, last=False)

    def _open_ranges(self, key_range: KeyRange) -> SpanReader[PageRows]:
        below = int(key_range.upper[0]) + 1 if key_range.below is None else int(key_range.below[0])
        with self._readers.one() as reader:
            found = reader.rows(self._queries.lowest_key())
        bottom = int(found[0][0]) if found else None
        width = below - bottom if bottom is not None else 0
        rows = self.estimate()
        return SpanReader(
            self._read_range,
            below=below,
            bottom=bottom,
            density=rows / width if rows and width > 0 else 1.0,
            page_size=int(self._config["page_size"]),
            in_flight=self._wanted_readers(),
            budget_bytes=AHEAD_BYTES,
            pages_a_span=1,
        )

    def _wanted_readers(self) -> int:
        """All there may be where the network makes them wait; else as many as there are processors, at least two.

        More would only share those, and each holds a page: measured, two readers on two processors are as fast as four.
        """
        most = int(self._config["max_parallelism"])
        with self._readers.one() as reader:
            waits = round_trip_seconds(reader.connection) > NEAR_SECONDS
        return most if waits else min(most, max(2, os.cpu_count() or 1))

    def _read_range(self, below: int, at_least: int | None) -> SpanPage[PageRows]:
        """A page of the range, in whichever thread asks."""
        if below <= INTEGERS[self._queries.key[0].base]:
            return SpanPage(PageRows([], None, ended=True), None, last=True)
        with self._readers.one() as reader:
            rows = reader.page_rows()
            end = None if at_least is None else (at_least,)
            found = reader.read([self._queries.span(below - 1, at_least)], rows, alone=False, lowest=end)
        lowest = int(found.key[0]) if found.key is not None else None
        return SpanPage(found, lowest, last=found.ended or lowest == at_least)

    def _page(self, found: PageRows, *, last: bool) -> Page:
        if found.repeated:
            if not self._description.is_unique(self.key):
                self._refuse(self._fault())
            raise SourceChanged(
                f"{self.name}: rows moved each time a page was read, and were met twice: isolation auto or snapshot"
                " reads them where they were"
            )
        self._take(found)
        return Page(found.batches, found.key, last)

    def _take(self, found: PageRows) -> None:
        """Count what was lost, and see that the driver's types stay those of the first page."""
        self._digits += found.digits
        self._offsets += found.offsets
        self._halves += found.halves
        if self._driver_types is None:
            self._driver_types = found.driver_types
        elif found.driver_types is not None and found.driver_types != self._driver_types:
            raise SourceChanged(
                f"{self.name}: a column's type changed while it was read; the next run describes it afresh"
            )
