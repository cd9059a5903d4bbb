"""Every cell of a segment, compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from paralelo.verify import merging, partitions
from paralelo.verify.canonical import canonical_schema
from paralelo.verify.columns import TablePair
from paralelo.verify.comparison import Compared, among, compare, rows_of_keys
from paralelo.verify.prefetch import prefetched
from paralelo.verify.segments import TableSegment
from paralelo.verify.sides import Side
from paralelo.verify.tally import Tally

_PARTITION_ROWS = 100_000


@dataclass(frozen=True)
class Sides:
    """Both databases, and the filter on the rows to compare."""

    source: Side
    target: Side
    since: str | None = None


def compare_segments(sides: Sides, segments: Sequence[TableSegment], tally: Tally, *, parallel: int, rows: int) -> None:
    """Compare all rows of the segments and add what differs to the tally. `rows` is about how many there are.

    Memory is bounded by a few blocks of rows for each of the `parallel` threads, whatever the table's size.
    """
    with ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="verify-deep") as pool:
        try:
            for done in as_completed([pool.submit(_compare_segment, sides, part, tally, rows) for part in segments]):
                done.result()
        except BaseException:
            # The others would go on to their ends before the error, or the signal, is told.
            tally.stopped = True
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def look_again(sides: Sides, tally: Tally, clock: Callable[[], int | None] = lambda: None) -> None:
    """Read the rows that were set aside once more, by key, from both sides, and judge them.

    `clock` tells the source's time now, as the tally counts it. A row that is no longer found where it was a moment ago
    was deleted, or its key cannot be asked for: it is not judged.
    """
    pending, tally.pending = tally.pending, []
    for at_source, at_target in pending:
        compared, lost = _by_key(sides, tally.table, at_source, at_target)
        tally.leave(lost.num_rows)
        # Asked after the rows were read: none that changed until then is ahead of it.
        tally.add(compared, again=True, latest=clock())


def _compare_segment(sides: Sides, segment: TableSegment, tally: Tally, rows: int) -> None:
    key = [column.target for column in segment.table.key]
    for source, target in _blocks(sides, segment, key, rows):
        if tally.stopped:
            return
        tally.saw(source, target)
        found = compare(source, target, key)
        if sides.since is not None and key and not found.equal:
            found = _unfiltered(sides, segment.table, found)
        tally.add(found)


def _blocks(sides: Sides, segment: TableSegment, key: Sequence[str], rows: int) -> Iterator[tuple[pa.Table, pa.Table]]:
    table = segment.table
    schema = canonical_schema(table.columns)
    ordered = table.ordered
    with (
        prefetched(sides.source.read(segment, sides.since, ordered=ordered)) as source,
        prefetched(sides.target.read(segment, sides.since, ordered=ordered)) as target,
    ):
        if ordered:
            yield from merging.blocks(source, target, schema, key)
        else:
            count = max(1, math.ceil(rows / _PARTITION_ROWS))
            yield from partitions.blocks(source, target, schema, key, partitions=count)


def _unfiltered(sides: Sides, table: TablePair, found: Compared) -> Compared:
    """With `since`, a row may be on both sides and be selected on one, where the other holds an older cursor.

    So whatever seems to be on one side only is looked up by its key, on both, without the filter.
    """
    keys = [column.target for column in table.key]
    if not (found.missing.num_rows or found.extra.num_rows):
        return found
    again, lost = _by_key(sides, table, found.missing.select(keys), found.extra.select(keys))
    # What the second look does not find stays as it was found at first.
    missing, extra = (rows_of_keys(rows, lost, keys) for rows in (found.missing, found.extra))
    return Compared(
        missing=pa.concat_tables([missing, again.missing]),
        extra=pa.concat_tables([extra, again.extra]),
        source=pa.concat_tables([found.source, again.source]),
        target=pa.concat_tables([found.target, again.target]),
        cells=tuple(np.concatenate(pair) for pair in zip(found.cells, again.cells, strict=True)),
    )


def _by_key(sides: Sides, table: TablePair, at_source: pa.Table, at_target: pa.Table) -> tuple[Compared, pa.Table]:
    """Rows that were on these sides a moment ago, compared anew; and the keys that were not found there again.

    The target is read first: what is copied meanwhile is then no newer in the target than what the source answers.
    """
    names = [column.target for column in table.key]
    keys = pa.concat_tables([at_source, at_target])
    target = rows_of_keys(sides.target.read_keys(table, keys), keys, names)
    source = rows_of_keys(sides.source.read_keys(table, keys), keys, names)
    asked = ((at_source, source), (at_target, target))
    lost = pa.concat_tables([wanted.filter(~among(wanted, found, names)) for wanted, found in asked])
    source, target = (rows.filter(~among(rows, lost, names)) for rows in (source, target))
    return compare(source, target, names), lost
