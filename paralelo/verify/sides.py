"""What a comparison needs of each of the two databases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import pyarrow as pa
from sync_rules.column_types import ColumnType
from sync_rules.exits import SyncError
from sync_rules.singer.source import Column as ReadColumn

from paralelo.verify.columns import Column, TablePair
from paralelo.verify.segments import TableSegment

Value = int | float | Decimal | None
Measured = Mapping[int, tuple[Value, ...]]
"""For each bucket that has rows, its measures, in the order of `measures_of`."""


class CannotCompare(SyncError):
    """The two sides cannot be compared: nothing is said of whether they are equal."""


@dataclass(frozen=True)
class Bounds:
    """How many rows a table has, and the lowest and highest place on its axis (None when it is empty)."""

    rows: int
    least: int | None
    most: int | None


class Side(Protocol):
    """One database. Every method may be called from several threads, and may raise a SyncError."""

    def bounds(self, table: TablePair, *, counted: bool, segment: TableSegment | None = None) -> Bounds:
        """Where the axis begins and ends, and the rows, 0 unless they are to be counted: that may take a whole scan.

        Of the segment alone where one is given, which only sides that add up can tell.
        """

    def measure(self, segment: TableSegment, cuts: Sequence[int], since: str | None) -> Measured:
        """Aggregates of the segment's rows, in buckets between the cuts."""

    def read(self, segment: TableSegment, since: str | None, *, ordered: bool) -> Iterator[pa.RecordBatch]:
        """The segment's rows in canonical form, ascending by key when `ordered`."""

    def read_keys(self, table: TablePair, keys: pa.Table) -> pa.Table:
        """The rows with these keys, in canonical form; more may come with them, never fewer."""

    def close(self) -> None:
        """Close every connection."""


class SourceName(Protocol):
    """A table's name at the source; `schema` is empty where there are none."""

    @property
    def schema(self) -> str:
        """Its schema."""

    @property
    def table(self) -> str:
        """Its own name."""

    @property
    def stream(self) -> str:
        """The Singer stream's name."""


class SourceColumn(Protocol):
    """One of its columns: the neutral type, the type as the source spells it, and what is selected for it."""

    @property
    def name(self) -> str:
        """As the source spells it."""

    @property
    def type(self) -> ColumnType:
        """What the tap makes of it."""

    @property
    def declared(self) -> str:
        """The source's own type."""

    @property
    def nullable(self) -> bool:
        """Whether it may be NULL."""

    @property
    def selected(self) -> str:
        """What the tap selects."""


class SourceTable(Protocol):
    """A table as the source describes it."""

    @property
    def name(self) -> SourceName:
        """Its name."""

    @property
    def columns(self) -> Sequence[SourceColumn]:
        """In the source's order."""

    @property
    def natural_key(self) -> Sequence[str]:
        """The key where the project sets none."""


class Source(Side, Protocol):
    """The side that is copied."""

    @property
    def adds_up(self) -> bool:
        """Whether `measure` can be asked for."""

    @property
    def load(self) -> Mapping[str, Any]:
        """The table's own rules for the target, over the target's settings."""

    @property
    def parallel(self) -> int:
        """How many readers suit it at least."""

    def named(self, name: str) -> SourceTable:
        """The table of that name, as the project spells it."""

    def again(self, table: TablePair) -> SourceTable:
        """The table of a pair."""

    def check(self, table: TablePair) -> None:
        """Raise ConfigurationError for columns whose values the source hides from this login."""

    def clock(self, zone: str) -> str:
        """The server's time now, as the cursor is stamped by it (`local` or `utc`), in ISO 8601 without an offset."""

    def holds_null(self, table: TablePair, column: Column) -> bool:
        """Whether any row has NULL in the column."""

    def read_as_tap(
        self, description: Any, columns: Sequence[ReadColumn], table: TablePair, keys: pa.Table
    ) -> Iterator[pa.RecordBatch]:
        """The rows with these keys, these columns of them, as the tap puts them into its batch files."""
