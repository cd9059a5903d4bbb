"""The sweep finds what is on one side only, over pieces of any size."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sync_rules.exits import DataRefused, Exit
from tap_oracle_wms.sweep import Ids, ids_in, main, sweep

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
    for text in (b"9\nname\n", b"9\n\xe9\n"):
        with pytest.raises(DataRefused, match="no id"):
            list(ids_in(io.TextIOWrapper(io.BytesIO(text), "ascii")))


@pytest.mark.parametrize("text", [None, "{", "[1]"])
def test_settings_that_cannot_be_read_are_told_in_one_line(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.json"
    if text is not None:
        config.write_text(text)
    assert main(["--entity", "thing", "--config", str(config)]) == Exit.CONFIGURATION
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(str(config))
