"""Whether a full sync brought every row: the API's count beside the rows of all its attempts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sync_rules.bookmarks import FullBookmark
from sync_rules.exits import CheckRefused

Count = Callable[..., "int | None"]
"""How many rows there are within the bounds; None where the API cannot say."""


def check(entity: str, cursor: str | None, lookback: timedelta, bookmark: FullBookmark, count: Count) -> int:
    """Returns how many rows have no cursor. Raises CheckRefused when the API counts more rows than it answered.

    Only rows that must have been answered are counted. A row last changed before the sync began, less the lookback, was
    there all the time; what was deleted makes the count smaller, never larger. Rows without a cursor do not tell when
    they came, so of them, and of an entity that has none, no more are missed than were there when the sync began.
    """
    if bookmark.upper_key is None:
        return 0
    below = int(bookmark.upper_key[0]) + 1
    if cursor is None:
        undated, sure = count(id__lt=below), 0
    else:
        before = datetime.fromisoformat(bookmark.started_at) - lookback
        undated = count(**{"id__lt": below, f"{cursor}__isnull": "true"})
        sure = count(**{"id__lt": below, f"{cursor}__lt": before.isoformat()}) or 0
    counted = sure + (undated or 0)
    if bookmark.estimate is not None:
        counted = max(sure, min(counted, bookmark.estimate))
    if counted > bookmark.rows:
        raise CheckRefused(
            f"{entity}: the API counts {counted} rows up to id {below - 1} and answered only {bookmark.rows}: the sync"
            " does not end well; the next run begins anew. Set check_count to false if the API counts rows it does not"
            " show"
        )
    return (undated or 0) if cursor is not None else 0
