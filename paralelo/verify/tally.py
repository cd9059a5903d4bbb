"""What a comparison has found so far: exact counts of everything, the values of the first few."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from paralelo.verify.columns import Column, TablePair
from paralelo.verify.comparison import Compared
from paralelo.verify.rendering import text_of

Kind = Literal["missing", "extra", "different"]
KINDS: tuple[Kind, ...] = ("missing", "extra", "different")

_PENDING_LIMIT = 100_000
"""Rows that are kept to be looked at again."""


@dataclass(frozen=True)
class Cell:
    """One column's value on both sides."""

    column: str
    source: str | None
    target: str | None


@dataclass(frozen=True)
class Difference:
    """One row: its key, and for a different one the cells that differ. A keyless table's row shows every cell."""

    kind: Kind
    key: tuple[str | None, ...]
    cells: tuple[Cell, ...] = ()


class Tally:
    """Adds up what differs; safe to be given results by several threads.

    `cuts` divide the axis into the buckets of the map. `settled` is the youngest cursor, in microseconds since 1970,
    that a row may have to count as different while the table is in use; None takes every row at its word. The keys in
    `to_copy` and `to_delete` are those of every difference, told or not: what `--fix` goes by.
    """

    def __init__(self, table: TablePair, *, cuts: Sequence[int], settled: int | None, keep: int) -> None:
        self.table = table
        self.counts: Counter[Kind] = Counter()
        self.columns: Counter[str] = Counter()
        self.rows = {"source": 0, "target": 0}
        self.differences: list[Difference] = []
        self.pending: list[pa.Table] = []
        self.pending_rows = 0
        self.unsettled = 0
        self.to_copy: list[pa.Table] = []
        self.to_delete: list[pa.Table] = []
        self.by_bucket = {kind: np.zeros(len(cuts) + 1, dtype=np.int64) for kind in (*KINDS, "source", "target")}
        self._cuts = np.array(cuts, dtype=np.int64)
        self._settled = settled
        self._keep = keep
        self._kept: Counter[Kind] = Counter()
        self.stopped = False
        self._lock = threading.Lock()

    @property
    def full(self) -> bool:
        """Whether the differences that are told one by one are all found, of every kind that there is."""
        return sum(self.counts.values()) >= self._keep * len(KINDS)

    def saw(self, source: pa.Table, target: pa.Table) -> None:
        """Count rows that were compared."""
        with self._lock:
            for side, rows in (("source", source), ("target", target)):
                self.rows[side] += rows.num_rows
                self._mark(side, rows)

    def add(self, found: Compared, *, again: bool = False) -> None:
        """Take a result in. Rows too young to be judged are set aside, or counted as unsettled when seen `again`."""
        if found.equal:
            return
        with self._lock:
            if self._settled is not None and self.table.cursor is not None and self.table.key:
                found = self._set_aside(found, again=again)
            self.counts.update(
                missing=found.missing.num_rows, extra=found.extra.num_rows, different=found.source.num_rows
            )
            for column, mask in zip(self.table.columns, found.cells, strict=True):
                if mask.any():
                    self.columns[column.target] += int(mask.sum())
            for kind, rows in (("missing", found.missing), ("extra", found.extra), ("different", found.source)):
                self._mark(kind, rows)
            names = [column.target for column in self.table.key]
            self.to_copy += [rows.select(names) for rows in (found.missing, found.source) if rows.num_rows]
            self.to_delete += [found.extra.select(names)] if found.extra.num_rows else []
            self._tell(found)

    def _set_aside(self, found: Compared, *, again: bool) -> Compared:
        assert self.table.cursor is not None
        assert self._settled is not None
        name = self.table.cursor.target
        young_missing = _younger(found.missing.column(name), self._settled)
        # A row whose two cursors agree is no old copy of a newer row: it is different, however young.
        moved = pc.fill_null(pc.not_equal(found.source.column(name), found.target.column(name)), True).to_numpy()
        young_different = _younger(found.source.column(name), self._settled) & moved
        aside = [found.missing.filter(young_missing), found.source.filter(young_different)]
        count = sum(rows.num_rows for rows in aside)
        if again or self.pending_rows + count > _PENDING_LIMIT:
            self.unsettled += count
        else:
            self.pending_rows += count
            names = [column.target for column in self.table.key]
            self.pending.extend(rows.select(names) for rows in aside if rows.num_rows)
        return Compared(
            missing=found.missing.filter(~young_missing),
            extra=found.extra,
            source=found.source.filter(~young_different),
            target=found.target.filter(~young_different),
            cells=tuple(mask[~young_different] for mask in found.cells),
        )

    def _mark(self, layer: Any, rows: pa.Table) -> None:
        axis = self.table.axis
        if axis is None or not rows.num_rows:
            return
        column = rows.column(axis.target)
        places = column.cast(pa.int32()) if pa.types.is_date32(column.type) else column
        buckets = np.searchsorted(self._cuts, places.cast(pa.int64()).to_numpy(), side="right")
        self.by_bucket[layer] += np.bincount(buckets, minlength=len(self._cuts) + 1)

    def _tell(self, found: Compared) -> None:
        key = self.table.key
        for kind, rows in (("missing", found.missing), ("extra", found.extra)):
            for row in range(self._room(kind, rows.num_rows)):  # type: ignore[arg-type]  # the two are kinds
                cells = () if key else tuple(_one_sided(column, rows, row, kind) for column in self.table.columns)
                self.differences.append(Difference(kind, self._key(rows, row), cells))  # type: ignore[arg-type]
        for row in range(self._room("different", found.source.num_rows)):
            cells = tuple(
                Cell(
                    column.target,
                    text_of(found.source.column(column.target), row),
                    text_of(found.target.column(column.target), row),
                )
                for column, mask in zip(self.table.columns, found.cells, strict=True)
                if mask[row]
            )
            self.differences.append(Difference("different", self._key(found.source, row), cells))

    def _room(self, kind: Kind, rows: int) -> int:
        room = min(rows, self._keep - self._kept[kind])
        self._kept[kind] += room
        return room

    def _key(self, rows: pa.Table, row: int) -> tuple[str | None, ...]:
        return tuple(text_of(rows.column(column.target), row) for column in self.table.key)


def _one_sided(column: Column, rows: pa.Table, row: int, kind: str) -> Cell:
    text = text_of(rows.column(column.target), row)
    return Cell(column.target, text, None) if kind == "missing" else Cell(column.target, None, text)


def _younger(column: Any, settled: int) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = pc.fill_null(pc.greater(column.cast(pa.int64()), settled), False).to_numpy()
    return mask
