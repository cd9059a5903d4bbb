"""One SQLite table as a `Source`: what is selected, how pages are read, what is left out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pyarrow as pa
from sync_rules.batch_info import Key
from sync_rules.bookmarks import FullBookmark
from sync_rules.exits import ConfigurationError
from sync_rules.full import Beginning, KeyRange, Page
from sync_rules.incremental import Clock, CursorPage, Window
from sync_rules.singer.source import Column, Loss, arrow_schema, fingerprint

from tap_sqlite import values
from tap_sqlite.catalog import ROWID, ROWID_COLUMN, TableDescription
from tap_sqlite.choices import Choices
from tap_sqlite.cursors import Cursor, cursor_of
from tap_sqlite.database import Database, MixedTypes
from tap_sqlite.declared import BIGINT, JSON, TEXT
from tap_sqlite.queries import SEED, Queries, Statement
from tap_sqlite.rejects import Rejects

_BATCH_ROWS = 16_384

Ask = Callable[[Queries, bool], Statement]
"""One page's statement by these queries, split by kind or not."""


@dataclass
class SqliteTable:
    """A table opened for reading: one connection, one query at a time."""

    description: TableDescription
    choices: Choices
    config: Mapping[str, Any]
    database: Database
    rejects: Rejects
    log: logging.Logger
    columns: list[Column] = field(init=False)
    _largest: int | None = None
    _rejects_counted: bool = False
    _cursor: Cursor | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        chosen = self.choices
        keyed = {column.name for column in chosen.key}
        self.columns = [
            Column(c.name, c.settled, not c.not_null and c.name not in keyed, c.declared.lower() or "(none)")
            for c in chosen.columns
        ]
        self._schema = arrow_schema(self.columns)
        self._queries = Queries(self.description, chosen.columns, chosen.key)
        for column in chosen.key:
            if column.settled not in (BIGINT, TEXT):
                raise ConfigurationError(
                    f"{self.name}: {column.name} cannot be a key: it holds {column.settled}; {self._another_key}"
                )
        if chosen.cursor is not None:
            self._cursor = cursor_of(chosen.cursor, self.description, self.database, self.config)
            self._queries = Queries(
                self.description,
                chosen.columns,
                chosen.key,
                self._cursor.expression,
                self._cursor.condition,
                "''" if self._cursor.is_text else "0",
            )

    @property
    def name(self) -> str:
        """The table's name."""
        return self.description.name

    @property
    def key(self) -> Sequence[str]:
        """Names of the key columns."""
        return [column.name for column in self.choices.key]

    @property
    def cursor(self) -> str | None:
        """Name of the cursor column."""
        return self.choices.cursor.name if self.choices.cursor else None

    @property
    def fingerprint(self) -> str:
        """Columns, types, key, and the file itself: another by the same name has other rows under the same keys.

        VACUUM counts the schema's version up, and may give hidden row numbers anew.
        """
        schema = self.database.value("PRAGMA schema_version")
        return fingerprint(self.columns, self.key, str(self.database.real), self.database.inode, schema)

    def begin(self) -> Beginning:
        """This machine's clock, then the file's highest key."""
        clock = self.clock()
        self._check_key()
        upper: Key | None = None
        if self.key:
            found = self.database.rows(*self._queries.highest_key())
            upper = self._key(found[0]) if found else None
        return Beginning(
            started_at=clock.started_at,
            upper_key=upper,
            estimate=self.estimate(),
            cursor_at_start=clock.now if self._cursor else None,
            cursor_column=self.cursor,
            utc_offset_minutes=clock.utc_offset_minutes,
        )

    def check_whole(self, bookmark: FullBookmark) -> None:
        """Nothing to ask: a statement is answered whole, or it fails."""

    def clock(self) -> Clock:
        """Now, in the cursor's terms."""
        if self._cursor is not None:
            return self._cursor.clock(self.database, self.description)
        now = datetime.now(tz=timezone.utc)
        return Clock(now.isoformat(timespec="microseconds"), 0, now.isoformat(timespec="milliseconds"))

    def estimate(self) -> int | None:
        """From the highest and the lowest rowid, without counting; None where there are none, or they are far apart."""
        statement = self._queries.rowid_ends()
        if statement is None:
            return None
        ends = self.database.rows(*statement)
        low, high = ends[0]
        apart = 0 if high is None else int(high - low + 1)
        return apart if apart < 2**63 else None

    def read_page(self, key_range: KeyRange) -> Page:
        """The next page down, cut by rows or bytes. A page all of whose rows are rejected is passed over."""
        self._count_earlier_rejects(key_range)
        while True:
            rows = self._page_rows(key_range)
            upper, below = key_range.upper, key_range.below
            page: Ask = lambda queries, split: queries.page(rows, upper, below, split=split)  # noqa: B023, E731 - called at once
            batch, keys, count = self._read(page, rows)
            if not count:
                return Page([], None, last=True)
            self._check_order(keys)
            lowest = self._key([array[-1].as_py() for array in keys])
            if batch.num_rows or count < rows:
                return Page([batch], lowest, last=count < rows)
            key_range = KeyRange(key_range.upper, lowest)

    def read_whole(self) -> Iterator[list[pa.RecordBatch]]:
        """All rows of a view, or of a table without any key."""
        rows = rows_at_once(self.database, self._queries, self.config)
        sql, bound = self._queries.whole()
        first = True
        for raw in self.database.batches(sql, bound, rows):
            read = raw.slice(1) if first else raw
            first = False
            arrays, wrong = self._columns(read, split=True)
            batch = self._without(wrong, arrays, [], read.num_rows)
            if batch.num_rows:
                yield [batch]

    def read_cursor_page(self, window: Window) -> CursorPage:
        """The next page up."""
        cursor, rows = self._gone_by(), self._rows_at_most()
        low = cursor.start(window.low, int(self.config["lookback_minutes"]))
        high = cursor.end(window.high)
        if window.after is None:
            if not self.description.is_unique(self.key):  # by an index, which spares looking at the whole table
                self._check_key()
            self._check_window(low, high)
        if window.within is not None and window.after is None:
            window = replace(window, after=(window.low, window.within))
        while True:
            after = None if window.after is None else (cursor.bound(window.after[0]), window.after[1])
            page: Ask = lambda queries, split: queries.cursor_page(rows, low, high, after, split=split)  # noqa: B023, E731
            batch, keys, count = self._read(page, rows, extra=True)
            if not count:
                return CursorPage([], None, last=True)
            end = cursor.told(keys[-1][-1].as_py()), self._key([array[-1].as_py() for array in keys[:-1]])
            if batch.num_rows or count < rows:
                return CursorPage([batch], end, last=count < rows, resume=end)
            window = replace(window, after=end)

    def null_cursors(self) -> int:
        """Rows without a cursor, or with one of another kind or style."""
        return int(self.database.value(*self._queries.missing_cursors())) if self._cursor else 0

    def losses(self) -> Sequence[Loss]:
        """None: a value is exact, or its row is rejected."""
        return ()

    def close(self) -> None:
        """Say what was left out, and close the file."""
        self.rejects.report(self.name)
        self.database.close()

    def _check_window(self, low: Any, high: Any) -> None:
        """Before the first page: what the window leaves out is told. A counter that fell was refused before."""
        highest = self.database.value(*self._queries.highest_cursor())
        if highest is not None and highest < low:
            self.log.warning(
                "%s: its newest %s is older than where the last sync ended: if it is an older file, run a full sync",
                self.name,
                self.cursor,
            )
        later = self.database.value(*self._queries.later_cursors(high))
        if later:
            self.log.warning(
                "%s: %s rows have a %s later than this machine's clock: not read yet", self.name, later, self.cursor
            )

    def _gone_by(self) -> Cursor:
        if self._cursor is None:
            raise ConfigurationError(f"{self.name}: an incremental sync needs cursor_column")
        return self._cursor

    def _read(self, ask: Ask, rows: int, *, extra: bool = False) -> tuple[pa.RecordBatch, list[pa.Array], int]:
        """One page: its rows without the rejected ones, the key's columns with them, and how many rows were read."""
        raw = self._page_of_types(ask, rows, extra=extra)
        split = raw is None
        if raw is None:
            raw = self._raw_split(ask, rows, extra=extra)
        try:
            arrays, wrong = self._columns(raw, split=split)
        except values.NotText:
            raw = self._raw_split(ask, rows, extra=extra)
            arrays, wrong = self._columns(raw, split=True)
        keys = [arrays[self.choices.columns.index(column)] for column in self.choices.key]
        keys += [raw.column(raw.num_columns - 2)] if extra else []
        return self._without(wrong, arrays, keys, raw.num_rows), keys, raw.num_rows

    def _page_of_types(self, ask: Ask, rows: int, *, extra: bool) -> pa.RecordBatch | None:
        """The page if every value in it is of its column's type, else None."""
        try:
            read = [self._raw(ask(queries, False), rows) for queries in self._queries.parts(split=False)]
        except MixedTypes:
            return None
        if any(raw.column(raw.num_columns - 1).null_count < raw.num_rows for raw in read):
            return None
        return read[0] if len(read) == 1 else _side_by_side(read, extra=extra)

    def _without(
        self, wrong: Mapping[int, values.Rejected], arrays: list[pa.Array], keys: Sequence[pa.Array], count: int
    ) -> pa.RecordBatch:
        """The rows that fit; the others are noted."""
        if wrong:
            keep = np.ones(count, dtype=bool)
            keep[list(wrong)] = False
            self.rejects.add(self.name, self._where(wrong, keys))
            arrays = [array.filter(pa.array(keep)) for array in arrays]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _raw(self, statement: Statement, rows: int) -> pa.RecordBatch:
        sql, bound = statement
        found = list(self.database.batches(sql, bound, rows + 1))
        table = pa.Table.from_batches(found).combine_chunks()
        batch = table.to_batches()[0]
        if batch.column(batch.num_columns - 1)[0].as_py() != SEED:
            raise RuntimeError(f"{self.name}: SQLite did not answer the first part of a UNION ALL first")
        return batch.slice(1)

    def _raw_split(self, ask: Ask, rows: int, *, extra: bool) -> pa.RecordBatch:
        """The page by kind."""
        read = [self._raw(ask(queries, True), rows) for queries in self._queries.parts(split=True)]
        return _side_by_side(read, extra=extra)

    def _columns(self, raw: pa.RecordBatch, *, split: bool) -> tuple[list[pa.Array], dict[int, values.Rejected]]:
        arrays: list[pa.Array] = []
        wrong: dict[int, values.Rejected] = {}
        at = 0
        for column in self.choices.columns:
            if split or column.settled == JSON:
                array, odd = values.assemble(column, raw.columns[at : at + 4])
                for row, stored in odd.items():
                    wrong.setdefault(row, values.Rejected(row, column.name, stored, str(column.settled)))
                at += 4
            else:
                array = values.plain(column, raw.column(at))
                at += 1
            arrays.append(array)
        return arrays, wrong

    def _where(
        self, wrong: Mapping[int, values.Rejected], keys: Sequence[pa.Array]
    ) -> list[tuple[Any, values.Rejected]]:
        """Each rejected row with its key."""
        return [(tuple(array[row].as_py() for array in keys[: len(self.key)]), one) for row, one in wrong.items()]

    def _count_earlier_rejects(self, key_range: KeyRange) -> None:
        """A resumed sync left rows out before: `max_rejects` is of all of them, however often it is run again."""
        if not self._rejects_counted and key_range.below is not None:
            earlier = self.database.value(*self._queries.wrong_above(key_range.upper, key_range.below))
            self.rejects.go_on(self.name, int(earlier or 0))
        self._rejects_counted = True

    def _rows_at_most(self) -> int:
        """A page's rows where its largest one is not looked for among the rows to come."""
        rows, budget = int(self.config["page_size"]), int(self.config["page_bytes"])
        largest = self._largest_row()
        return rows if largest * rows <= 4 * budget else max(1, budget // largest)

    def _largest_row(self) -> int:
        if self._largest is None:
            statement = self._queries.largest_row()
            self._largest = int(self.database.value(*statement) or 0) if statement else 0
        return self._largest

    def _page_rows(self, key_range: KeyRange) -> int:
        """As many rows as set, fewer where the largest of them would make the page too big for the memory."""
        rows, budget = int(self.config["page_size"]), int(self.config["page_bytes"])
        if self._largest_row() * rows <= 4 * budget:
            return rows
        while rows > 1:
            statement = self._queries.largest_of_page(rows, key_range.upper, key_range.below)
            largest = int(self.database.value(*statement) or 0) if statement else 0
            if largest * rows <= budget:
                return rows
            rows = max(1, min(rows // 2, budget // max(1, largest)))
        return rows

    def _check_order(self, keys: Sequence[pa.Array]) -> None:
        """The bookmark is the last row's key: it has to be the lowest."""
        if len(keys) == 1 and pa.types.is_int64(keys[0].type):
            numbers = keys[0].drop_null().to_numpy(zero_copy_only=False)
            if not np.all(numbers[1:] < numbers[:-1]):
                raise self.database.damaged(f"{self.name} does not come in the order of its key")

    def _check_key(self) -> None:
        """A key that the file does not keep whole and unique could skip rows at a page's end, or make one of two."""
        if not self.key or all(column.is_rowid for column in self.choices.key):
            return
        if not self.description.without_rowid and self.database.value(*self._queries.null_keys()):
            raise ConfigurationError(f"{self.name}: its key is NULL in some rows: {self._another_key}")
        if self.database.value(*self._queries.odd_keys()):
            raise ConfigurationError(
                f"{self.name}: its key is not of its column's type in some rows: {self._another_key}"
            )
        # An index may keep apart by its own collation what the column's takes for one key: texts are looked at.
        by_text = any(column.settled == TEXT for column in self.choices.key)
        proven = self.description.is_unique(self.key) and not by_text
        if not proven and self.database.value(*self._queries.repeated_keys()):
            raise ConfigurationError(f"{self.name}: its key is not unique: set another key_columns")

    @property
    def _another_key(self) -> str:
        """What to set where the key is none to go by."""
        has_rowid = self.description.rowid is not None and self.description.column(ROWID_COLUMN) is None
        rowid = ROWID if self.description.column(ROWID) is None else ROWID_COLUMN  # a column of its own comes first
        return "set key_columns: " + (f"[{rowid}]" if has_rowid else "[], which reads it in one pass")

    def _key(self, found: Sequence[Any]) -> Key:
        for value in found:
            if not isinstance(value, (int, str)):
                kind = "text that is not UTF-8" if value is None else type(value).__name__
                raise ConfigurationError(
                    f"{self.name}: a key is stored as {kind}, which no bookmark holds: {self._another_key}"
                )
        return tuple(found)


def rows_at_once(database: Database, queries: Queries, config: Mapping[str, Any]) -> int:
    """How many rows of a pass over the whole table are held, by its largest row."""
    statement = queries.largest_row()
    largest = int(database.value(*statement) or 0) if statement else 0
    return max(1, min(int(config["page_size"]), _BATCH_ROWS, int(config["page_bytes"]) // max(1, largest)))


def _side_by_side(read: Sequence[pa.RecordBatch], *, extra: bool) -> pa.RecordBatch:
    """A wide table's page from several readings: they are of one moment, and in the key's order."""
    behind = 2 if extra else 1
    columns = [column for raw in read for column in raw.columns[: raw.num_columns - behind]]
    columns += read[-1].columns[-behind:]
    return pa.RecordBatch.from_arrays(columns, names=[f"c{number}" for number in range(len(columns))])
