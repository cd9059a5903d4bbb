"""COPY BINARY decoded, against the server's own text."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paralelo.verify.copy_binary import Undecodable, decode
from paralelo.verify.numerics import UNREPRESENTABLE
from paralelo.verify.postgres import _messages
from paralelo.verify.tests.conftest import Pair

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**36) + 1, max_value=10**36 - 1)


def fetched(connection: psycopg.Connection[Any], query: str, schema: pa.Schema, stored: list[str]) -> pa.Table:
    with connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT BINARY)") as copy:
        return pa.Table.from_batches([decode(rows, schema, stored) for rows in _messages(copy)], schema)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.none() | DECIMALS, min_size=1, max_size=60))
def test_numerics_are_exact(pair: Pair, values: list[Decimal | None]) -> None:
    listed = ", ".join("(NULL::numeric)" if value is None else f"({value:f}::numeric)" for value in values)
    schema = pa.schema([("n", pa.decimal128(38, 2))])
    found = fetched(pair.postgres, f"SELECT * FROM (VALUES {listed}) AS v (n)", schema, ["numeric"])
    assert found.column("n").to_pylist() == values


@pytest.mark.parametrize("value", ["'NaN'", "'Infinity'", "'-Infinity'", "0.001", "1e40"])
def test_what_the_sources_type_cannot_hold_equals_nothing(pair: Pair, value: str) -> None:
    schema = pa.schema([("n", pa.decimal128(38, 2))])
    found = fetched(pair.postgres, f"SELECT {value}::numeric", schema, ["numeric"]).column("n").combine_chunks()
    assert int.from_bytes(found.buffers()[1].to_pybytes()[:16], "little", signed=True) == UNREPRESENTABLE


def test_texts_of_every_length_beside_nulls(pair: Pair) -> None:
    schema = pa.schema([("t", pa.large_string()), ("b", pa.large_binary()), ("n", pa.int64())])
    query = (
        "SELECT CASE WHEN n % 3 > 0 THEN repeat('\u00e7', n) END,"
        " CASE WHEN n % 5 > 0 THEN decode(repeat('00ff', n), 'hex') END, n FROM generate_series(0, 300) AS n"
    )
    found = fetched(pair.postgres, query, schema, ["text", "bytea", "int4"]).to_pylist()
    for number, row in enumerate(found):
        assert row["t"] == ("\u00e7" * number if number % 3 else None)
        assert row["b"] == (b"\0\xff" * number if number % 5 else None)
        assert row["n"] == number


def test_rows_that_do_not_fit_are_refused() -> None:
    schema = pa.schema([("n", pa.int64())])
    with pytest.raises(Undecodable):
        decode([b"\0\2" + b"\0\0\0\4" + b"\0\0\0\1"], schema, ["int4"])
    with pytest.raises(Undecodable):
        decode([b"\0\1" + b"\0\0\0\4" + b"\0\0\0\1" + b"\0"], schema, ["int4"])


def test_no_rows_are_an_empty_batch() -> None:
    assert decode([], pa.schema([("n", pa.int64())]), ["int8"]).num_rows == 0
