"""What a comparison has found so far: exact counts of everything, the values of the first few."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from paralelo.verify.columns import Column, TablePair
from paralelo.verify.comparison import Compared, Mask
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
        self.pending: list[tuple[pa.Table, pa.Table]] = []
        """Keys to be looked at again: of rows that the source had, and of rows that the target alone had."""
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

    def saw(self, source: pa.Table, target: pa.Table) -> None:
        """Count rows that were compared."""
        with self._lock:
            for side, rows in (("source", source), ("target", target)):
                self.rows[side] += rows.num_rows
                self._mark(side, rows)

    def leave(self, rows: int) -> None:
        """Count rows that cannot be judged."""
        with self._lock:
            self.unsettled += rows

    def add(self, found: Compared, *, again: bool = False, latest: int | None = None) -> None:
        """Take a result in. Rows too young to be judged are set aside, or counted as unsettled when seen `again`.

        `latest` is the source's clock: a cursor ahead of it is no recent change, and would be young for ever.
        """
        if found.equal:
            return
        with self._lock:
            if self._settled is not None and self.table.cursor is not None and self.table.key:
                found = self._set_aside(found, again=again, latest=latest)
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

    def _set_aside(self, found: Compared, *, again: bool, latest: int | None) -> Compared:
        """Both sides are not read at the same moment: at first, a young cursor on either will do.

        Seen again, the target's was read before the source's: then the source's cursor alone tells a recent change.
        """
        assert self.table.cursor is not None
        name = self.table.cursor.target
        missing, extra, source, target = (
            self._young(rows.column(name), latest) for rows in (found.missing, found.extra, found.source, found.target)
        )
        if again:
            extra, target = np.zeros_like(extra), np.zeros_like(target)
        # A row whose two cursors agree is no old copy of a newer row: it is different, however young.
        moved = pc.fill_null(pc.not_equal(found.source.column(name), found.target.column(name)), True).to_numpy()
        different: Mask = (source | target) & moved
        names = [column.target for column in self.table.key]
        at_source = [found.missing.filter(missing).select(names), found.source.filter(different).select(names)]
        self._put_by(pa.concat_tables(at_source), found.extra.filter(extra).select(names), again=again)
        return Compared(
            missing=found.missing.filter(~missing),
            extra=found.extra.filter(~extra),
            source=found.source.filter(~different),
            target=found.target.filter(~different),
            cells=tuple(mask[~different] for mask in found.cells),
        )

    def _put_by(self, at_source: pa.Table, at_target: pa.Table, *, again: bool) -> None:
        count = at_source.num_rows + at_target.num_rows
        if again or self.pending_rows + count > _PENDING_LIMIT:
            self.unsettled += count
        elif count:
            self.pending_rows += count
            self.pending.append((at_source, at_target))

    def _young(self, column: Any, latest: int | None) -> Mask:
        assert self._settled is not None
        moments = column.cast(pa.int64())
        young = pc.greater(moments, self._settled)
        if latest is not None:
            young = pc.and_(young, pc.less_equal(moments, latest))
        mask: Mask = pc.fill_null(young, False).to_numpy()
        return mask

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
        one_sided: tuple[tuple[Kind, pa.Table], ...] = (("missing", found.missing), ("extra", found.extra))
        for kind, rows in one_sided:
            for row in range(self._room(kind, rows.num_rows)):
                cells = () if key else tuple(_one_sided(column, rows, row, kind) for column in self.table.columns)
                self.differences.append(Difference(kind, self._key(rows, row), cells))
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
