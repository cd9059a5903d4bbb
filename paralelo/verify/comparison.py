"""Two Arrow tables of the same canonical schema: which rows are on one side only, and which cells differ.

Everything is column-wise. Rows are matched by their key; where a key occurs more than once (a heap, a text key that
only one side's collation calls unique), equal rows are cancelled first and what is left is matched in order, so that
one row too many is one difference, not a cascade.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Compared:
    """What differs between two tables.

    `missing` are the source's rows that the target lacks, `extra` the target's that the source lacks, `source` and
    `target` the rows of both that share a key and differ, in the same order, and `cells` says for each column (in the
    schema's order) in which of those.
    """

    missing: pa.Table
    extra: pa.Table
    source: pa.Table
    target: pa.Table
    cells: tuple[Mask, ...]

    @property
    def equal(self) -> bool:
        """Whether the tables hold the same rows."""
        return not (self.missing.num_rows or self.extra.num_rows or self.source.num_rows)


def compare(source: pa.Table, target: pa.Table, key: Sequence[str]) -> Compared:
    """Compare all rows of both. Without a key, rows are the same or they are not: none is merely different."""
    if source.schema != target.schema:
        raise ValueError("both tables must have the same canonical schema")
    if source.num_rows == target.num_rows:
        cells = _cells(source, target)
        rows: Mask = _any(cells, source.num_rows)
        in_place = bool(key) and not any(cells[source.schema.get_field_index(name)].any() for name in key)
        if not rows.any() or (in_place and _unique(_codes(source.select(key), target.select(key))[0])):
            return _in_place(source, target, np.flatnonzero(rows), cells)
    matched, others = _match(source, target, key)
    left, right = source.take(matched[0]), target.take(matched[1])
    cells = _cells(left, right)
    differing = np.flatnonzero(_any(cells, left.num_rows))
    return Compared(
        missing=source.take(others[0]),
        extra=target.take(others[1]),
        source=left.take(differing),
        target=right.take(differing),
        cells=tuple(cell[differing] for cell in cells),
    )


def _in_place(source: pa.Table, target: pa.Table, rows: Rows, cells: Sequence[Mask]) -> Compared:
    """The outcome where row n of one table belongs to row n of the other."""
    return Compared(
        missing=source.slice(0, 0),
        extra=target.slice(0, 0),
        source=source.take(rows),
        target=target.take(rows),
        cells=tuple(cell[rows] for cell in cells),
    )


def _cells(source: pa.Table, target: pa.Table) -> tuple[Mask, ...]:
    """For each column, in which rows the two differ. NULL is the same as NULL and as nothing else."""
    return tuple(_unequal(left, right) for left, right in zip(source.columns, target.columns, strict=True))


def _unequal(left: Any, right: Any) -> Mask:
    left, right = comparable(left), comparable(right)
    if left.equals(right):
        return np.zeros(len(left), dtype=np.bool_)
    differ = pc.fill_null(pc.not_equal(left, right), False)
    one_null = pc.xor(pc.is_null(left), pc.is_null(right))
    mask: Mask = pc.or_(differ, one_null).to_numpy()
    return mask


def comparable(column: Any) -> Any:
    """Floats as their bits: 0.0 and -0.0 are two values, and NaN is the same as itself."""
    if not pa.types.is_floating(column.type):
        return column
    return pa.chunked_array([chunk.view(pa.int64()) for chunk in column.chunks], pa.int64())


def _any(cells: Sequence[Mask], rows: int) -> Mask:
    return np.logical_or.reduce(cells) if cells else np.zeros(rows, dtype=np.bool_)


def _match(source: pa.Table, target: pa.Table, key: Sequence[str]) -> tuple[tuple[Rows, Rows], tuple[Rows, Rows]]:
    """Row numbers that belong together, and those of each side without a partner."""
    everything: tuple[Rows, Rows] = (np.arange(source.num_rows), np.arange(target.num_rows))
    if key:
        left, right = _codes(source.select(key), target.select(key))
        if _unique(left) and _unique(right):
            return _pair(left, right, *everything)
    left, right = _codes(source, target)
    same, rest = _pair(_numbered(left), _numbered(right), *everything)
    if not key:
        return same, rest
    left, right = _codes(source.select(key).take(rest[0]), target.select(key).take(rest[1]))
    more, rest = _pair(_numbered(left), _numbered(right), *rest)
    return (np.concatenate((same[0], more[0])), np.concatenate((same[1], more[1]))), rest


def _pair(left: Rows, right: Rows, left_rows: Rows, right_rows: Rows) -> tuple[tuple[Rows, Rows], tuple[Rows, Rows]]:
    """Pair row numbers by their codes, which are unique on each side."""
    _, first, second = np.intersect1d(left, right, assume_unique=True, return_indices=True)
    first.sort()
    order = np.argsort(right[second], kind="stable")
    # `first` was sorted back into the source's order; its partners are found by their code.
    second = second[order][np.searchsorted(right[second][order], left[first])]
    return (left_rows[first], right_rows[second]), (np.delete(left_rows, first), np.delete(right_rows, second))


def _codes(source: pa.Table, target: pa.Table) -> tuple[Rows, Rows]:
    """A number for each row of both, the same exactly when all its values are."""
    codes: Rows = np.zeros(source.num_rows + target.num_rows, dtype=np.int64)
    for left, right in zip(source.columns, target.columns, strict=True):
        both = pa.chunked_array([*comparable(left).chunks, *comparable(right).chunks], comparable(left).type)
        values = both.combine_chunks().dictionary_encode(null_encoding="encode")
        indices = values.indices.to_numpy().astype(np.int64)
        # Numbered afresh after each column: the product of two counts of distinct values stays below 2**63.
        codes = np.unique(codes * len(values.dictionary) + indices, return_inverse=True)[1].astype(np.int64)
    return codes[: source.num_rows], codes[source.num_rows :]


def _unique(codes: Rows) -> bool:
    return len(np.unique(codes)) == len(codes)


def _numbered(codes: Rows) -> Rows:
    """Codes that say the how-manieth occurrence of its value each row is: unique."""
    order = np.argsort(codes, kind="stable")
    ascending = codes[order]
    starts = np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]]) if len(codes) else np.array([], np.int64)
    nth = np.arange(len(codes)) - np.repeat(starts, np.diff(np.r_[starts, len(codes)]))
    numbered = np.empty(len(codes), dtype=np.int64)
    # No count reaches 2**31 within one block, and so the two numbers fit side by side.
    numbered[order] = ascending * 2**31 + nth
    return numbered


def among(table: pa.Table, keys: pa.Table, names: Sequence[str]) -> Mask:
    """For each row, whether its key is among the keys."""
    rows, wanted = _codes(table.select(names), keys.select(names))
    return np.isin(rows, wanted)


def rows_of_keys(table: pa.Table, keys: pa.Table, names: Sequence[str]) -> pa.Table:
    """The rows whose key is among the keys."""
    return table.filter(among(table, keys, names))
