"""The sweep finds what is on one side only, over pieces of any size."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sync_rules.exits import DataRefused
from tap_oracle_wms.sweep import Ids, ids_in, sweep

IDS = st.sets(st.integers(0, 200))


def pieces(ids: set[int], size: int) -> list[Ids]:
    ordered = np.array(sorted(ids, reverse=True), dtype=np.int64)
    return [ordered[at : at + size] for at in range(0, len(ordered), size)]


@settings(max_examples=60)
@given(IDS, IDS, st.integers(1, 9), st.integers(1, 9))
def test_stale_and_missing(source: set[int], target: set[int], here: int, there: int) -> None:
    stale: list[int] = []
    found = sweep("thing", 5, pieces(source, here), pieces(target, there), lambda ids: stale.extend(ids.tolist()))
    assert stale == sorted(target - source, reverse=True)
    assert (found.stale, found.missing) == (len(target - source), len(source - target))
    assert (found.source_rows, found.target_rows, found.counted) == (len(source), len(target), 5)
    assert list(found.missing_examples) == sorted(source - target, reverse=True)[:10]
    assert found.same == (source == target)


@pytest.mark.parametrize("ids", [[1, 2], [5, 5]])
def test_ids_that_do_not_descend_are_refused(ids: list[int]) -> None:
    with pytest.raises(DataRefused, match="descend"):
        sweep("thing", 0, [], [np.array(ids)])


def test_ids_from_text() -> None:
    assert [one.tolist() for one in ids_in(io.StringIO("9\n7\n\n1\n"))] == [[9, 7, 1]]
    with pytest.raises(DataRefused, match="no id"):
        list(ids_in(io.StringIO("9\nname\n")))
