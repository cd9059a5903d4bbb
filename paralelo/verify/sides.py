"""What a comparison needs of each of the two databases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

import pyarrow as pa
from sync_rules.exits import SyncError

from paralelo.verify.columns import TablePair
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

    def bounds(self, table: TablePair) -> Bounds:
        """Rows, and where the axis begins and ends."""

    def measure(self, segment: TableSegment, cuts: Sequence[int], since: str | None) -> Measured:
        """Aggregates of the segment's rows, in buckets between the cuts."""

    def read(self, segment: TableSegment, since: str | None, *, ordered: bool) -> Iterator[pa.RecordBatch]:
        """The segment's rows in canonical form, ascending by key when `ordered`."""

    def read_keys(self, table: TablePair, keys: pa.Table) -> pa.Table:
        """The rows with these keys, in canonical form; more may come with them, never fewer."""

    def close(self) -> None:
        """Close every connection."""
