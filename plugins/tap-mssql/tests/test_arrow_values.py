"""Casts by whole columns: the same values, in the batch file's types (SPEC V1)."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tap_mssql.arrow_values import cast, cast_batch, key_value, repeats, sums


@given(st.lists(st.none() | st.uuids()), st.integers(0, 3), st.sampled_from([pa.string(), pa.large_string()]))
def test_identifiers_are_their_bytes(values: list[UUID | None], skip: int, kind: pa.DataType) -> None:
    text = pa.array([None if value is None else str(value).upper() for value in values], kind)
    found = cast(text.slice(skip), pa.binary(16))
    found.validate(full=True)
    assert found.to_pylist() == [None if value is None else value.bytes for value in values[skip:]]


@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        (pa.array([0, 255, None], pa.uint8()), pa.int16(), [0, 255, None]),
        (pa.array([86_399_999_999_999], pa.time64("ns")), pa.time64("us"), [time(23, 59, 59, 999999)]),
        (pa.array([True, None]), pa.bool_(), [True, None]),
        (pa.array([1, 0, None], pa.uint8()), pa.bool_(), [True, False, None]),
        (pa.array([b"\x00", b""], pa.binary()), pa.large_binary(), [b"\x00", b""]),
        (pa.array(["a ", None]), pa.large_string(), ["a ", None]),
        (pa.array([datetime(9999, 12, 31, 23, 59, 59, 999999)], pa.timestamp("us")), pa.timestamp("us"), None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_casts(column: pa.Array, kind: pa.DataType, expected: list[object] | None) -> None:
    found = cast(column, kind)
    assert found.type == kind
    assert found.to_pylist() == (column.to_pylist() if expected is None else expected)


def test_a_value_that_does_not_fit_is_an_error_and_no_other_value() -> None:
    with pytest.raises(pa.ArrowInvalid):
        cast(pa.array([40_000], pa.int32()), pa.int16())
    with pytest.raises(pa.ArrowInvalid):
        cast(pa.array([Decimal("1.25")]), pa.decimal128(3, 1))


def test_columns_beyond_the_schema_are_left_off() -> None:
    batch = pa.record_batch({"a": [1, 2], "_paralelo_1": [0, 1]})
    assert cast_batch(batch, pa.schema([("a", pa.int32())])).to_pydict() == {"a": [1, 2]}
    assert sums([batch, batch], 1) == 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, 7),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0.10"), "-0.10"),
        ("abc ", "abc "),
        (b"\x01\xab", "0x01AB"),
        (date(2025, 1, 2), "2025-01-02"),
        (datetime(2025, 1, 2, 3, 4, 5, 3000), "2025-01-02T03:04:05.003000"),
        (0.1, "0.1"),
    ],
)
def test_keys_are_exact_text(value: object, expected: object) -> None:
    assert key_value(value) == expected


@pytest.mark.parametrize(
    ("batches", "found"),
    [
        ([[(3, "a"), (2, "a")], [(1, "a")]], False),
        ([[(3, "a"), (3, "b")], [(1, "a")]], False),
        ([[(3, "a"), (2, "b"), (2, "b")]], True),
        ([[(3, "a"), (2, "b")], [], [(2, "b"), (1, "c")]], True),
        ([[(None, "a")], [(None, "a")]], False),
        ([[(1, "a")]], False),
    ],
)
def test_rows_that_repeat_their_key(batches: list[list[tuple[Any, str]]], found: bool) -> None:
    schema = pa.schema([("v", pa.float64()), ("n", pa.int32()), ("t", pa.large_string())])
    made = [
        pa.RecordBatch.from_pylist([{"v": at, "n": n, "t": t} for at, (n, t) in enumerate(rows)], schema)
        for rows in batches
    ]
    assert repeats(made, [1, 2]) is found
    assert repeats(made, []) is False
