"""Aggregates of key ranges on both servers; ranges that differ are cut smaller, until their rows can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from paralelo.verify.deep import Sides
from paralelo.verify.measures import measures_of
from paralelo.verify.segments import SPLIT_FACTOR, TableSegment
from paralelo.verify.sides import Value

_LEAF_ROWS = 4_096
"""Ranges with fewer rows are read: cutting them further would cost more than it saves."""


@dataclass(frozen=True)
class Range:
    """One range and what was measured of it on both sides; empty where it has no rows."""

    segment: TableSegment
    source: tuple[Value, ...]
    target: tuple[Value, ...]

    @property
    def same(self) -> bool:
        """Whether every measure agrees. A count of 0 and no count are the same: neither has rows."""
        return self.source == self.target

    @property
    def rows(self) -> int:
        """Rows on the side that has more of them."""
        return max(self.source_rows, self.target_rows)

    @property
    def source_rows(self) -> int:
        """Rows at the source."""
        return int(self.source[0] or 0) if self.source else 0

    @property
    def target_rows(self) -> int:
        """Rows in the target."""
        return int(self.target[0] or 0) if self.target else 0

    def differing(self) -> tuple[str, ...]:
        """The measures that differ, by name."""
        named = measures_of(self.segment.table)
        source, target = (values or (None,) * len(named) for values in (self.source, self.target))
        return tuple(
            f"{measure.column} {measure.name}".strip()
            for measure, left, right in zip(named, source, target, strict=True)
            if left != right
        )


def survey(sides: Sides, whole: TableSegment, *, parallel: int) -> tuple[list[Range], list[Range]]:
    """Measure the whole table, each row once on each side; then the parts of what differs.

    Returns the ranges of the first pass, which cover the table, and the smallest ones that differ.
    """
    roots = whole.split(parallel)
    with ThreadPoolExecutor(max_workers=2 * len(roots), thread_name_prefix="verify-quick") as pool:
        try:
            first = _measure_all(sides, roots, SPLIT_FACTOR // len(roots), pool)
            leaves: list[Range] = []
            differing = [found for found in first if not found.same]
            while differing:
                leaves.extend(found for found in differing if not _worth_cutting(found))
                cut = [found.segment for found in differing if _worth_cutting(found)]
                differing = [found for found in _measure_all(sides, cut, SPLIT_FACTOR, pool) if not found.same]
        except BaseException:
            # What waits for its turn would be asked all the same before the error, or the signal, is told.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return first, leaves


def _worth_cutting(found: Range) -> bool:
    return found.rows > _LEAF_ROWS and found.segment.divisible


def _measure_all(sides: Sides, segments: Sequence[TableSegment], parts: int, pool: ThreadPoolExecutor) -> list[Range]:
    """Every segment in at most `parts` pieces, on both sides at the same time."""
    asked: list[tuple[TableSegment, Future[Mapping[int, tuple[Value, ...]]], Future[Mapping[int, tuple[Value, ...]]]]]
    asked = [
        (
            segment,
            pool.submit(sides.source.measure, segment, segment.cuts(parts), sides.since),
            pool.submit(sides.target.measure, segment, segment.cuts(parts), sides.since),
        )
        for segment in segments
    ]
    found = []
    for segment, source, target in asked:
        left, right = source.result(), target.result()
        for bucket, piece in enumerate(segment.split(parts)):
            found.append(Range(piece, left.get(bucket, ()), right.get(bucket, ())))
    return found
