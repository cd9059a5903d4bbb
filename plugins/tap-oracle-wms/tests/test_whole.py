"""The check that a full sync brought every row: it sees what was left out, and refuses no healthy sync."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sync_rules.bookmarks import FullBookmark
from sync_rules.exits import CheckRefused
from tap_oracle_wms.whole import check

START = datetime(2025, 6, 1, 12, tzinfo=timezone.utc)
LOOKBACK = timedelta(minutes=30)
Rows = dict[int, "datetime | None"]
OLD = START - timedelta(days=1)


def checked(rows: Rows, read: int, cursor: str | None = "mod_ts", estimate: int | None = None, upper: int = 99) -> int:
    """The check with an API that has these rows at the sync's end."""

    def count(**bounds: object) -> int:
        assert bounds.pop("id__lt") == upper + 1
        found = [time for one, time in rows.items() if one <= upper]
        if "mod_ts__isnull" in bounds:
            return sum(time is None for time in found)
        if "mod_ts__lt" in bounds:
            before = datetime.fromisoformat(str(bounds["mod_ts__lt"]))
            return sum(time is not None and time < before for time in found)
        return len(found)

    bookmark = FullBookmark(1, START.isoformat(), "f", (upper,), (1,), rows=read, estimate=estimate)
    return check("thing", cursor, LOOKBACK, bookmark, count)


@pytest.mark.parametrize("cursor", ["mod_ts", None])
@pytest.mark.parametrize("time", [OLD, None])
def test_one_row_that_was_left_out_is_missed(cursor: str | None, time: datetime | None) -> None:
    rows: Rows = dict.fromkeys(range(1, 50), time)
    checked(rows, 49, cursor, estimate=49)
    with pytest.raises(CheckRefused, match="counts 49 rows up to id 99 and answered only 48"):
        checked(rows, 48, cursor, estimate=49)


def test_rows_that_came_meanwhile_are_not_missed() -> None:
    rows: Rows = {1: OLD, 2: None, 3: START, 4: START + timedelta(hours=1), 100: OLD}
    assert checked(rows, 3, estimate=3) == 1
    assert checked({1: None, 2: None, 3: None}, 2, estimate=2) == 3
    checked({1: OLD, 2: OLD, 3: OLD}, 2, cursor=None, estimate=2)
    checked({1: OLD, 2: START - timedelta(minutes=29)}, 1, estimate=1)  # its change may have come with the clock behind
    with pytest.raises(CheckRefused):
        checked({1: OLD, 2: START - timedelta(minutes=31)}, 1, estimate=1)


def test_a_count_that_the_api_cannot_make_refuses_nothing() -> None:
    assert check("thing", "mod_ts", LOOKBACK, FullBookmark(1, START.isoformat(), "f", (9,)), lambda **_: None) == 0


@settings(max_examples=200)
@given(st.integers(0, 60), st.randoms(use_true_random=False))
def test_rows_deleted_changed_and_added_while_it_reads_refuse_no_sync(size: int, seed: random.Random) -> None:
    rows: Rows = {one: OLD if seed.random() < 0.9 else None for one in range(1, size + 1)}
    estimate, read = len(rows), 0
    for one in range(size, 0, -1):
        if one in rows:
            read += 1
        other = seed.randint(1, 200)
        if seed.random() < 0.2:
            rows.pop(other, None)
        elif seed.random() < 0.3 and (other in rows or other > size):
            rows[other] = START + timedelta(minutes=one)
    checked(rows, read, estimate=estimate, upper=max(size, 1))
