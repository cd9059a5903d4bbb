"""Seeded columns of random values, drawn whole with NumPy and given as Arrow arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..tds.rows import DAY, EPOCH_DAYS

Ints = npt.NDArray[np.int64]
LATEST = 20_088
"""2024-12-31 in days since 1970: no generated change is later, whatever the machine's clock says."""
EARLIEST_DATE, LAST_DATE = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31, the ends of SQL Server's `date`."""


@dataclass
class Draw:
    """The source of one chunk's columns: `rows` of them, from one seed."""

    seed: tuple[int, ...]
    rows: int

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def nulls(self, share: float) -> npt.NDArray[np.bool_]:
        return self.random.random(self.rows) < share

    def integers(self, low: int, high: int, kind: pa.DataType, null: float = 0.0) -> pa.Array:
        """Small numbers much likelier than large ones."""
        spread = self.random.random(self.rows) ** 3
        values = (low + spread * (high - low + 1)).astype(np.int64)
        return pa.array(values, mask=self.nulls(null) if null else None).cast(kind)

    def choice(self, pool: Sequence[str], null: float = 0.0, skew: float = 1.0) -> pa.Array:
        """One of a pool, the first the most frequent, as towns and creditors are."""
        return pa.array(pool, pa.string()).take(self.ranks(len(pool), null, skew))

    def ranks(self, count: int, null: float = 0.0, skew: float = 1.0) -> pa.Array:
        weights = 1.0 / np.arange(1, count + 1) ** skew
        edges = np.cumsum(weights / weights.sum())
        found = np.minimum(np.searchsorted(edges, self.random.random(self.rows)), count - 1)
        return pa.array(found.astype(np.int32), mask=self.nulls(null) if null else None)

    def dates(self, low: int, high: int, null: float = 0.0, extremes: float = 0.0) -> pa.Array:
        """Days since 1970 between two; `extremes` is the share at the ends of the type."""
        days = self.random.integers(low, high, self.rows).astype(np.int32)
        if extremes:
            strange = self.random.random(self.rows) < extremes
            days[strange] = np.where(self.random.random(int(strange.sum())) < 0.5, EARLIEST_DATE, LAST_DATE)
        return pa.array(days, mask=self.nulls(null) if null else None).cast(pa.date32())

    def amounts(self, null: float = 0.0) -> pa.Array:
        """decimal(38,2): log-normal debts, some negative, and in one row of 20,000 the type's own limits."""
        cents = np.minimum(np.exp(self.random.normal(11.5, 1.8, self.rows)), 9e15).astype(np.int64)
        cents[self.random.random(self.rows) < 0.02] *= -1
        halves = np.empty((self.rows, 2), np.int64)
        halves[:, 0] = cents
        halves[:, 1] = cents >> 63
        limit = 10**38 - 1
        for value in (limit, -limit):
            low, high = value & 0xFFFFFFFFFFFFFFFF, value >> 64
            chosen = self.random.random(self.rows) < 0.000025
            halves[chosen] = np.array([low], np.uint64).view(np.int64)[0], high
        missing = pa.array(~self.nulls(null)).buffers()[1] if null else None
        return pa.Array.from_buffers(pa.decimal128(38, 2), self.rows, [missing, pa.py_buffer(halves.reshape(-1))])

    def sparse_ids(self, start: int) -> Ints:
        """Ascending ids with the gaps that deletes and failed inserts leave."""
        steps = np.where(self.random.random(self.rows) < 0.9, 1, self.random.integers(2, 12, self.rows))
        made: Ints = start + np.cumsum(steps)
        return made

    def cpf(self, people: int) -> pa.Array:
        """Eleven digits whose check digits are wrong on purpose; the same person comes more than once."""
        person = self.random.integers(0, max(1, people), self.rows)
        base = (person * 7_919 + 100_000_007) % 1_000_000_000
        digits = np.stack([base // 10**power % 10 for power in range(8, -1, -1)])
        first = (digits * np.arange(10, 1, -1)[:, None]).sum(0) * 10 % 11 % 10
        wrong = (first + 1 + base % 9) % 10
        number = base * 100 + wrong * 10 + base % 10
        plain = pc.utf8_lpad(pa.array(number).cast(pa.string()), 11, "0")
        written = pc.binary_join_element_wise(
            pc.utf8_slice_codeunits(plain, 0, 3),
            pc.utf8_slice_codeunits(plain, 3, 6),
            pc.utf8_slice_codeunits(plain, 6, 9),
            ".",
        )
        written = pc.binary_join_element_wise(written, pc.utf8_slice_codeunits(plain, 9, 11), "-")
        return pc.if_else(pa.array(person % 10 == 0), written, plain)

    def changes(self) -> pa.Array:
        """mod_ts as ticks: seven digits, runs of equal values as bulk updates leave them."""
        ticks = (LATEST + EPOCH_DAYS - 400) * DAY + self.random.integers(0, 400 * DAY, self.rows)
        bulk = self.random.random(self.rows) < 0.05
        ticks[bulk] = ticks[0]
        return pa.array(ticks)

    def labelled(self, prefix: str, digits: int, high: int, null: float = 0.0) -> pa.Array:
        numbers = pa.array(self.random.integers(1, high, self.rows), mask=self.nulls(null) if null else None)
        return pc.binary_join_element_wise(pa.scalar(prefix), pc.utf8_lpad(numbers.cast(pa.string()), digits, "0"), "")


def table(columns: dict[str, Any]) -> pa.Table:
    return pa.table(columns)
