"""A side that holds its rows in memory, and tables to put there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from sync_rules.column_types import ColumnType

from paralelo.verify.canonical import canonical_schema
from paralelo.verify.columns import Column, TablePair
from paralelo.verify.comparison import rows_of_keys
from paralelo.verify.measures import measures_of
from paralelo.verify.segments import TableSegment
from paralelo.verify.sides import Bounds, Measured


def column(name: str, kind: str, declared: str, stored: str, *, nullable: bool = True) -> Column:
    """A column whose name is the same on both sides."""
    return Column(name, name, ColumnType.parse(kind), declared, stored, f"[{name}]", nullable)


KEY = column("id", "bigint", "bigint", "int8", nullable=False)
NUMBER = column("n", "integer", "int", "int4")
TEXT = column("t", "varchar(20)", "varchar(20)", "varchar")
MOMENT = column("mod_ts", "timestamp(6)", "datetime2(7)", "timestamp")
TABLE = TablePair("dbo", "things", "public", "things", (KEY, NUMBER, TEXT, MOMENT), (KEY,), MOMENT)


def rows(table: TablePair, values: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The values as a canonical table."""
    return pa.Table.from_pylist([dict(value) for value in values], canonical_schema(table.columns))


class MemorySide:
    """One side. `batch` is how many rows each batch has; it counts the rows that were read."""

    def __init__(self, table: pa.Table, batch: int = 7) -> None:
        self.table = table
        self.batch = batch
        self.rows_read = 0

    def bounds(self, table: TablePair, *, counted: bool) -> Bounds:
        ids = [] if table.axis is None else self.table.column(table.axis.target).to_pylist()
        return Bounds(self.table.num_rows, min(ids, default=None), max(ids, default=None))

    def measure(self, segment: TableSegment, cuts: Sequence[int], since: str | None) -> Measured:
        chosen = self._within(segment)
        axis = segment.table.axis
        ids = np.zeros(chosen.num_rows) if axis is None else chosen.column(axis.target).to_numpy()
        buckets = np.searchsorted(np.array(cuts), ids, side="right")
        found: dict[int, tuple[Any, ...]] = {}
        for bucket in np.unique(buckets):
            rows = chosen.filter(buckets == bucket).to_pylist()
            total = sum(hash(tuple(sorted(row.items()))) for row in rows)
            found[int(bucket)] = (len(rows), *[total] * (len(measures_of(segment.table)) - 1))
        return found

    def read(self, segment: TableSegment, since: str | None, *, ordered: bool) -> Iterator[pa.RecordBatch]:
        chosen = self._within(segment)
        if ordered:
            chosen = chosen.sort_by([(column.target, "ascending") for column in segment.table.key])
        for batch in chosen.combine_chunks().to_batches(max_chunksize=self.batch):
            self.rows_read += batch.num_rows
            yield batch

    def read_keys(self, table: TablePair, keys: pa.Table) -> pa.Table:
        return rows_of_keys(self.table, keys, [column.target for column in table.key])

    def close(self) -> None:
        pass

    def _within(self, segment: TableSegment) -> pa.Table:
        axis = segment.table.axis
        if axis is None:
            return self.table
        ids = self.table.column(axis.target).to_numpy()
        lower = -(2**63) if segment.range.lower is None else segment.range.lower
        upper = 2**63 - 1 if segment.range.upper is None else segment.range.upper
        return self.table.filter((ids >= lower) & ((ids < upper) | (segment.range.upper is None)))
