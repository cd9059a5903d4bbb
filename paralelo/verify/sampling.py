"""Which rows a sample is: windows of the axis, picked at random, that together hold about as many as were asked for."""

from __future__ import annotations

import random
from collections.abc import Callable

from sync_rules.exits import ConfigurationError

from paralelo.verify.segments import TableSegment, grain
from paralelo.verify.sides import Bounds

_WINDOWS = 32


def windows(
    whole: TableSegment, bounds: Bounds, rows: int, seed: int | None, next_place: Callable[[int], int | None]
) -> list[TableSegment]:
    """At most 32 windows. Where the axis has few values (the first column of a longer key), each is one of them.

    `next_place` finds the lowest place that has a row, from a place on: a window in a gap of the axis moves up to it.
    Raises ConfigurationError for a table without an axis.
    """
    axis = whole.table.axis
    if axis is None:
        raise ConfigurationError(
            f"{whole.table.name}: a sample is taken by ranges of a whole-number, date or time key; this table has none"
        )
    if bounds.least is None or bounds.most is None or rows >= bounds.rows:
        return [whole]
    # Edges between two values of the axis would be rounded by one of the servers, and not by the other.
    step = grain(axis)
    first, width = bounds.least // step, bounds.most // step - bounds.least // step + 1
    slots = min(width, max(_WINDOWS, bounds.rows * _WINDOWS // rows))
    count = max(1, min(_WINDOWS, rows, slots * rows // bounds.rows))
    chosen = sorted(random.Random(seed).sample(range(slots), count))  # noqa: S311 - no secret hangs on it
    found: list[TableSegment] = []
    begin = bounds.least
    for slot in chosen:
        lower, upper = ((first + width * edge // slots) * step for edge in (slot, slot + 1))
        place = next_place(max(begin, lower)) if begin <= bounds.most else None
        if place is None:
            break
        if place >= upper or begin > lower:
            # Never into the window before it, which may have moved: no row is read twice.
            lower, upper = place // step * step, place // step * step + upper - lower
        # Without an end where nothing follows: the day after the last of the year 9999 has no name.
        found.append(whole.within(lower, upper if upper <= bounds.most else None))
        begin = upper
    return found
