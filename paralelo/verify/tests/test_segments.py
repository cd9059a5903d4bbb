from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paralelo.verify import statements
from paralelo.verify.columns import TablePair
from paralelo.verify.segments import TableSegment, label, position, source_literal, target_literal
from paralelo.verify.tests.memory import KEY, TABLE, column

BIGINTS = st.integers(-(2**63), 2**63 - 1)


@given(st.tuples(BIGINTS, BIGINTS).map(sorted), st.integers(1, 40), st.data())
def test_each_key_lies_in_exactly_one_part(ends: Any, parts: Any, data: Any) -> None:
    least, most = ends
    pieces = TableSegment(TABLE, least=least, most=most).split(parts)
    key = data.draw(st.integers(least, most))
    holding = [
        piece
        for piece in pieces
        if (piece.range.lower is None or key >= piece.range.lower)
        and (piece.range.upper is None or key < piece.range.upper)
    ]
    assert len(holding) == 1
    assert len(pieces) <= parts


@given(st.integers(2, 10**6), st.integers(2, 40))
def test_splitting_ends_at_single_keys(width: Any, parts: Any) -> None:
    segment = TableSegment(TABLE, least=0, most=width - 1)
    for _ in range(64):
        if not segment.divisible:
            break
        segment = segment.split(parts)[-1]
    assert segment.range.lower == width - 1


def test_the_outer_ends_stay_open_for_rows_that_arrive_meanwhile() -> None:
    pieces = TableSegment(TABLE, least=1, most=100).split(4)
    assert pieces[0].range.lower is None
    assert pieces[-1].range.upper is None


def test_an_empty_table_is_one_segment() -> None:
    assert len(TableSegment(TABLE).split(8)) == 1


def test_bounds_of_coarse_times_fall_on_their_own_ticks() -> None:
    # A bound between two milliseconds would be rounded by one server and kept by the other.
    key = column("at", "timestamp(3)", "datetime2(3)", "timestamp", nullable=False)
    table = replace(TABLE, key=(key,))
    cuts = TableSegment(table, least=1, most=1_000_003).cuts(7)
    assert cuts
    assert all(cut % 1000 == 0 for cut in cuts)


@pytest.mark.parametrize("value", [7, date(1969, 12, 31), datetime(1900, 1, 1, 0, 0, 0, 1), datetime(9999, 12, 31)])
def test_positions_keep_the_order_of_values(value: Any) -> None:
    later = value + (
        1 if isinstance(value, int) else type(value).resolution if value.year < 9999 else -value.resolution
    )
    assert (position(value) < position(later)) == (value < later)


def test_bounds_are_written_in_the_columns_own_type() -> None:
    assert source_literal(KEY, 5) == "CAST(5 AS bigint)"
    assert target_literal(KEY, 5) == "CAST(5 AS int8)"
    moment = column("at", "timestamp(6)", "datetime2(7)", "timestamp")
    assert source_literal(moment, -1) == "CAST('1969-12-31T23:59:59.999999' AS datetime2(7))"
    assert label(moment, 0) == "1970-01-01"


def test_the_ends_of_the_axis_are_found_by_its_index() -> None:
    """Neither a count nor an expression below MIN: either would have the whole table read once more."""
    day = column("d", "date", "date", "date", nullable=False)
    days = TablePair("dbo", "t", "public", "t", (day,), (day,))
    assert statements.bounds("source", days, counted=False) == (
        "SELECT NULL, DATEDIFF(day, CAST('1970-01-01' AS date), MIN([d])),"
        " DATEDIFF(day, CAST('1970-01-01' AS date), MAX([d])) FROM [dbo].[t]"
    )
    target = statements.bounds("target", days, counted=False)
    assert target.startswith("SELECT NULL, ")
    assert target.count('"d"') == target.count('MIN("d")') + target.count('MAX("d")') > 1


def test_each_column_is_named_where_it_is_measured() -> None:
    """SQL Server leaves hidden columns, and sparse ones of a table with a column set, out of a star."""
    measured = statements.measure("source", TableSegment(TABLE), (), None)
    assert "*, " not in measured
    inner = measured.partition("FROM (")[2]
    assert all(f"[{one.source}]" in inner.partition(" AS paralelo_bucket")[0] for one in TABLE.columns)
