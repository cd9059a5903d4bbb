"""Many ranges at once, in order: every row once, whatever the holes, within the budget."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sync_rules.exits import CheckRefused
from sync_rules.spans import SpanPage, SpanReader


class Ids:
    """A source that holds ids, and counts what it is asked."""

    def __init__(self, ids: set[int], page_size: int) -> None:
        self.ids = sorted(ids, reverse=True)
        self.page_size = page_size
        self.requests = 0
        self._lock = threading.Lock()

    def fetch(self, below: int, at_least: int | None) -> SpanPage[pa.RecordBatch]:
        with self._lock:
            self.requests += 1
        found = [one for one in self.ids if one < below and (at_least is None or one >= at_least)]
        page = found[: self.page_size]
        batch = pa.RecordBatch.from_arrays([pa.array(page, pa.int64())], names=["id"])
        return SpanPage(batch, page[-1] if page else None, len(found) <= self.page_size)

    def reader(
        self, below: int, bottom: int | None, density: float, in_flight: int, budget: int, pages_a_span: int = 8
    ) -> SpanReader[pa.RecordBatch]:
        return SpanReader(
            self.fetch,
            below=below,
            bottom=bottom,
            density=density,
            page_size=self.page_size,
            in_flight=in_flight,
            budget_bytes=budget,
            pages_a_span=pages_a_span,
        )


def read(reader: SpanReader[pa.RecordBatch]) -> Iterator[int]:
    for batch in reader:
        yield from batch.column(0).to_pylist()


@settings(max_examples=60)
@given(
    ids=st.sets(st.integers(-20, 400) | st.integers(100_000, 100_300) | st.integers(10**12, 10**12 + 50)),
    page_size=st.integers(1, 20),
    density=st.sampled_from([1e-6, 0.01, 0.5, 1.0]),
    in_flight=st.integers(1, 5),
    budget=st.sampled_from([1, 500, 10**6]),
    pages_a_span=st.sampled_from([1, 2, 8]),
    resume=st.floats(0, 1),
)
def test_every_row_once_in_order(
    ids: set[int],
    page_size: int,
    density: float,
    in_flight: int,
    budget: int,
    pages_a_span: int,
    resume: float,
) -> None:
    ordered = sorted(ids, reverse=True)
    skipped = int(len(ordered) * resume)
    below = ordered[skipped - 1] if skipped else (ordered[0] + 1 if ordered else 5)
    bottom = ordered[-1] if ordered else None
    source = Ids(ids, page_size)
    assert list(read(source.reader(below, bottom, density, in_flight, budget, pages_a_span))) == ordered[skipped:]


def test_rows_below_the_lowest_id_that_was_known_are_read_too() -> None:
    source = Ids(set(range(100)), 10)
    assert len(list(read(source.reader(100, 60, 1.0, 3, 10**6)))) == 100


def test_holes_do_not_cost_a_request_for_each_page_that_is_not_there() -> None:
    source = Ids(set(range(2_000)) | set(range(10**9, 10**9 + 2_000)), 50)
    assert len(list(read(source.reader(10**9 + 2_000, 0, 4e-6, 4, 10**7)))) == 4_000
    assert source.requests < 2 * 4_000 / 50 + 60


@pytest.mark.parametrize("pages_a_span", [1, 8])
@pytest.mark.parametrize("density", [1.0, 4e-17])
def test_keys_at_the_ends_of_64_bits_take_few_requests(density: float, pages_a_span: int) -> None:
    ends = {-(2**63), -(2**63) + 7, 2**63 - 9, 2**63 - 1}
    source = Ids({*ends, *range(500)}, 5)
    reader = source.reader(2**63, -(2**63), density, 4, 10**7, pages_a_span)
    assert list(read(reader)) == sorted({*ends, *range(500)}, reverse=True)
    assert source.requests < 500


def test_a_dense_stretch_in_a_thin_table_is_read_in_parallel_parts() -> None:
    source = Ids({0, *range(10**6, 10**6 + 4_000)}, 50)
    reader = source.reader(10**6 + 4_000, 0, 0.0001, 4, 10**7)
    assert len(list(read(reader))) == 4_001
    assert source.requests < 2 * 4_000 / 50


def test_ids_without_holes_come_in_full_pages() -> None:
    source = Ids(set(range(4_000)), 50)
    assert len(list(read(source.reader(4_000, 0, 1.0, 4, 10**7)))) == 4_000
    assert source.requests <= 4_000 / 50 + 1


def test_runs_of_rows_between_large_holes_cost_few_requests_more_than_full_pages() -> None:
    """What deleting old rows leaves: runs of a page or two, with fifty times as many ids missing in between."""
    source = Ids({run * 4_000 + row for run in range(60) for row in range(80)}, 50)
    assert len(list(read(source.reader(240_000, 0, 0.02, 4, 10**7)))) == 4_800
    assert source.requests < 1.5 * 4_800 / 50


def test_what_is_read_ahead_keeps_within_its_budget() -> None:
    """A target slower than the source: all that is asked for comes before the next page is taken."""
    source = Ids(set(range(2_000)), 10)
    reader = source.reader(2_000, 0, 1.0, 4, 6 * 10 * 8)
    for taken, _ in enumerate(reader, start=1):
        while reader._workers.under_way > reader._workers._results.qsize():
            threading.Event().wait(0.0001)
        assert source.requests - taken < 40


def test_what_a_request_raises_is_raised() -> None:
    def fetch(below: int, at_least: int | None) -> SpanPage[pa.RecordBatch]:
        raise CheckRefused("out of order")

    reader = SpanReader(fetch, below=100, bottom=1, density=1.0, page_size=5, in_flight=3)
    with pytest.raises(CheckRefused, match="out of order"):
        list(reader)
