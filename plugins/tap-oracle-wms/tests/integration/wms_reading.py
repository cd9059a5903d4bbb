"""A whole sync of one entity, read to its end."""

from __future__ import annotations

from collections.abc import Callable

from sync_rules.bookmarks import FullBookmark
from sync_rules.full import KeyRange
from sync_rules.incremental import Window
from tap_oracle_wms.source import EntitySource

Make = Callable[..., EntitySource]
FULL_PAGES = "ordering=-id&page_size=250"


def full(source: EntitySource) -> list[int]:
    """The ids of a full sync, in its order."""
    beginning = source.begin()
    if beginning.upper_key is None:
        return []
    ids: list[int] = []
    below = None
    while True:
        page = source.read_page(KeyRange(beginning.upper_key, below))
        for batch in page.batches:
            ids += batch.column("id").to_pylist()
        if page.last:
            break
        below = page.lowest
    source.check_whole(
        FullBookmark(1, beginning.started_at, "f", beginning.upper_key, rows=len(ids), estimate=beginning.estimate)
    )
    return ids


def changed(source: EntitySource, low: str) -> list[int]:
    """The ids of an incremental sync."""
    ids: list[int] = []
    after = None
    while True:
        page = source.read_cursor_page(Window(low, "2100-01-01T00:00:00+00:00", after))
        for batch in page.batches:
            ids += batch.column("id").to_pylist()
        if page.last:
            return ids
        after = page.end
