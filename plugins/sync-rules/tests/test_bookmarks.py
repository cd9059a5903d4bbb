"""State goes out and comes back as it was, whatever else a newer or older program put in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sync_rules.bookmarks import FullBookmark, IncrementalBookmark
from sync_rules.exits import ConfigurationError

KEY = st.none() | st.tuples(st.integers(), st.text())
FULL = st.builds(
    FullBookmark,
    version=st.integers(1),
    started_at=st.text(),
    fingerprint=st.text(),
    upper_key=KEY,
    last_key=KEY,
    batches=st.integers(0),
    rows=st.integers(0),
    estimate=st.none() | st.integers(0),
    cursor_at_start=st.none() | st.text() | st.integers(),
    done=st.booleans(),
)


@given(FULL)
def test_a_full_bookmark_survives_json(bookmark: FullBookmark) -> None:
    saved = json.loads(json.dumps(bookmark.to_state()))
    assert FullBookmark.from_state({**saved, "from_the_future": 1}) == bookmark
    assert IncrementalBookmark.from_state(saved) is None


@given(st.builds(IncrementalBookmark, cursor=st.text() | st.integers(), clock=st.none() | st.text()))
def test_an_incremental_bookmark_survives_json(bookmark: IncrementalBookmark) -> None:
    saved = json.loads(json.dumps(bookmark.to_state()))
    assert IncrementalBookmark.from_state({**saved, "from_the_future": 1}) == bookmark
    assert FullBookmark.from_state(saved) is None


def test_nothing_is_no_bookmark() -> None:
    for state in (None, {}, {"mode": "full"}, {"replication_key_value": "x"}):
        assert FullBookmark.from_state(state) is None
        assert IncrementalBookmark.from_state(state) is None


def test_half_a_bookmark_is_told() -> None:
    """SPEC O2."""
    half = {"mode": "full", "version": 5}
    written = {"mode": "incremental", "cursor": "2026-01-01"}
    others = [{"last_key": 7}, {"last_key": "7"}, {"upper_key": {"id": 7}}]
    for state in (half, *({**half, "started_at": "x", "fingerprint": "f", **more} for more in others)):
        with pytest.raises(ConfigurationError, match="something is missing in it"):
            FullBookmark.from_state(state)
    for unfinished in (7, ["2026-01-01"], ["2026-01-01", "2026-01-01", "7"]):
        with pytest.raises(ConfigurationError, match="something is missing in it"):
            IncrementalBookmark.from_state({**written, "unfinished": unfinished})
