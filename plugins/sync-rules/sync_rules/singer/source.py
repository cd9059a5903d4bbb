"""What a tap has to bring: one table (or endpoint) that can be read by pages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from sync_rules.bookmarks import FullBookmark
from sync_rules.column_types import ColumnType
from sync_rules.full import Beginning, KeyRange, Page
from sync_rules.incremental import Clock, CursorPage, Window


@dataclass(frozen=True)
class Column:
    """One column that is read. `source_type` is the type as the source declares it, `varchar(14)`."""

    name: str
    type: ColumnType
    nullable: bool
    source_type: str


@dataclass(frozen=True)
class Loss:
    """Values that the neutral type holds less of than the source: how many, and what was lost."""

    values: int
    what: str


class Source(Protocol):
    """One table, ready to be read. Every method may raise a SyncError."""

    @property
    def name(self) -> str:
        """The table as its owner calls it, for messages: `dbo.bi_credores`."""

    @property
    def columns(self) -> Sequence[Column]:
        """The columns that are read, in the source's order."""

    @property
    def key(self) -> Sequence[str]:
        """Names of the key columns, in index order; empty for a table without a key."""

    @property
    def cursor(self) -> str | None:
        """Name of the modification timestamp column."""

    @property
    def fingerprint(self) -> str:
        """A hash of everything a resumed sync relies on: columns, types, key."""

    def begin(self) -> Beginning:
        """The source's clock, highest key and estimate, before the first page of a full sync."""

    def read_page(self, key_range: KeyRange) -> Page:
        """The next rows of the range, in descending key order."""

    def read_whole(self) -> Iterator[list[pa.RecordBatch]]:
        """All rows of a table without a key, in pages, in one pass."""

    def check_whole(self, bookmark: FullBookmark) -> None:
        """Whether the rows of all attempts, which the bookmark counts, can be all there are. Raises CheckRefused."""

    def clock(self) -> Clock:
        """The source's clock in the cursor's terms: the upper end of an incremental sync."""

    def estimate(self) -> int | None:
        """About how many rows the table has."""

    def read_cursor_page(self, window: Window) -> CursorPage:
        """The next rows of the window, in ascending (cursor, key) order."""

    def null_cursors(self) -> int:
        """How many rows have no cursor value: an incremental sync never sees them."""

    def losses(self) -> Sequence[Loss]:
        """What was lost so far in the values read."""

    def close(self) -> None:
        """Give connections back. May be called twice."""


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """The schema of a batch file."""
    return pa.schema([pa.field(column.name, column.type.arrow, column.nullable) for column in columns])


def json_schema(columns: Sequence[Column]) -> dict[str, object]:
    """The JSON Schema of a SCHEMA message."""
    properties = {
        column.name: {**column.type.json_schema(nullable=column.nullable), "x-sql-datatype": column.source_type}
        for column in columns
    }
    return {"type": "object", "properties": properties}


def fingerprint(columns: Sequence[Column], key: Sequence[str], *more: object) -> str:
    """A short hash of the columns in their order, their types, the key, and what else the source's order rests on."""
    described = [[[c.name, c.source_type, str(c.type), c.nullable] for c in columns], list(key), *more]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
