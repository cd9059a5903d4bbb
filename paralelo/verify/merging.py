"""Two streams in one and the same order of the key, compared block by block.

Each side is read once, front to back. What both sides have delivered up to a common key can be compared and let go of;
the rest waits for more. Memory is a few batches, however uneven the two sides are: a side with a million rows too many
is compared while it streams by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def blocks(
    source: Iterator[pa.RecordBatch], target: Iterator[pa.RecordBatch], schema: pa.Schema, key: Sequence[str]
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Pairs of tables, one from each side, with the same range of keys: together they hold every row once.

    Both streams ascend by `key`, whose columns hold no NULL. A key that occurs many times stays in one block.
    """
    left, right = _Stream(source, schema), _Stream(target, schema)
    while True:
        left.fill()
        right.fill()
        if left.ended and right.ended:
            yield left.take(left.rows), right.take(right.rows)
            return
        limits = [stream.last(key) for stream in (left, right) if not stream.ended]
        limit = min(limits)
        counts = [stream.before(key, limit) for stream in (left, right)]
        if not any(counts):
            # One key fills all that was read: more of it may follow, on the side that stands there.
            for stream in (left, right):
                if not stream.ended and stream.last(key) == limit:
                    stream.read()
            continue
        yield left.take(counts[0]), right.take(counts[1])


_BLOCK_ROWS = 32_768
"""Rows that are read ahead on each side: fewer would spend the time on calls, more the memory."""


class _Stream:
    """One side: what was read and not yet compared."""

    def __init__(self, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> None:
        self._batches = batches
        self._held: pa.Table = schema.empty_table()
        self.ended = False

    @property
    def rows(self) -> int:
        count: int = self._held.num_rows
        return count

    def fill(self) -> None:
        """Make sure that a block of rows is there, unless the stream has ended."""
        while not self.ended and self.rows < _BLOCK_ROWS:
            self.read()

    def read(self) -> None:
        """Read one more batch."""
        batch = next(self._batches, None)
        if batch is None:
            self.ended = True
        elif batch.num_rows:
            self._held = pa.concat_tables([self._held, pa.Table.from_batches([batch])])

    def last(self, key: Sequence[str]) -> tuple[int, ...]:
        """The highest key read, in a form that orders."""
        return tuple(_orderable(self._held.column(name).slice(self.rows - 1))[0] for name in key)

    def before(self, key: Sequence[str], limit: tuple[int, ...]) -> int:
        """How many of the rows come before the limit."""
        low, high = 0, self.rows
        while low < high:
            middle = (low + high) // 2
            at = tuple(_orderable(self._held.column(name).slice(middle, 1))[0] for name in key)
            low, high = (middle + 1, high) if at < limit else (low, middle)
        return low

    def take(self, count: int) -> pa.Table:
        """Let go of the first rows."""
        taken, self._held = self._held.slice(0, count), self._held.slice(count)
        return taken


def _orderable(column: pa.ChunkedArray) -> list[int]:
    """Values as integers of the same order: decimals unscaled, days, microseconds (Python's dates end too early)."""
    if pa.types.is_decimal(column.type):
        words: npt.NDArray[np.int64] = np.concatenate(
            [
                np.frombuffer(chunk.buffers()[1], np.int64).reshape(-1, 2)[chunk.offset :][: len(chunk)]
                for chunk in column.chunks
            ]
        )
        return [int(high) * 2**64 + (int(low) % 2**64) for low, high in words]
    if pa.types.is_date32(column.type):
        column = pc.cast(column, pa.int32())
    if pa.types.is_timestamp(column.type):
        column = pc.cast(column, pa.int64())
    values: list[int] = column.to_pylist()
    return values
