"""The generator: equal for an equal seed, of the declared shape, with the awkward values that matter."""

from __future__ import annotations

import datetime
import decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sandbox.data import TABLES
from sandbox.data.tables import CHUNK, chunks


def whole(table: str, rows: int, seed: int = 3) -> pa.Table:
    return pa.concat_tables(chunks(table, rows, seed))


@pytest.mark.parametrize("table", TABLES)
def test_a_seed_gives_the_same_rows(table: str) -> None:
    assert whole(table, 5000).equals(whole(table, 5000))
    assert not whole(table, 5000).equals(whole(table, 5000, seed=4))


@pytest.mark.parametrize("table", TABLES)
def test_ids_ascend_with_gaps_over_chunks(table: str) -> None:
    made = whole(table, CHUNK + 1000)
    assert made.num_rows == CHUNK + 1000
    ids = made.column("id").to_numpy()
    steps = ids[1:] - ids[:-1]
    assert steps.min() == 1
    assert steps.max() > 1


def test_credores_hold_extremes_nulls_and_accents() -> None:
    made = whole("bi_credores", 2 * CHUNK)
    balances = pc.min_max(made.column("SALDO")).as_py()
    limit = "999999999999999999999999999999999999.99"
    assert (balances["min"], balances["max"]) == (decimal.Decimal(f"-{limit}"), decimal.Decimal(limit))
    dates = pc.min_max(made.column("MIN_VENCIMENTO")).as_py()
    assert (dates["min"], dates["max"]) == (datetime.date(1, 1, 1), datetime.date(9999, 12, 31))
    assert made.column("ACORDO_ID").null_count > made.num_rows // 2
    assert "São Paulo" in made.column("CIDADE").unique().to_pylist()
    towns = pc.value_counts(made.column("CIDADE")).to_pylist()
    assert max(t["counts"] for t in towns) > 5 * min(t["counts"] for t in towns)
    assert len(made.column("CPF").unique()) < made.num_rows


def test_change_times_use_the_seventh_digit() -> None:
    ticks = whole("bi_credores", 5000).column("mod_ts").to_numpy()
    assert (ticks % 10).any()
    assert len(set(ticks.tolist())) < len(ticks)
