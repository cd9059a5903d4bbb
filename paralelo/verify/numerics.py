"""PostgreSQL's numeric on the wire, as decimal128 of one scale, exactly.

A numeric is digits in base 10,000: how many, the power of the first, a sign, a scale for display, the digits. Values of
up to 18 digits (nearly all) are added up in int64, all rows at once; longer ones one at a time as Python integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

UNREPRESENTABLE = 2**127 - 1
"""Stands for NaN, infinity, and a value with more digits than the source's type has. As an unscaled value it is beyond
38 digits, so it equals nothing that SQL Server can hold, and is told by that name in reports."""

_NEGATIVE, _POSITIVE = 0x4000, 0x0000
_FAST_DIGITS = 18
_DECIMAL_LIMIT = 10**38


def decode_numerics(
    buffer: npt.NDArray[np.uint8],
    words: npt.NDArray[Any],
    at: npt.NDArray[np.int64],
    size: npt.NDArray[np.int64],
    null: npt.NDArray[np.bool_],
    scale: int,
) -> Any:
    """The numerics that begin at the places `at` of the buffer; `words` is the buffer as big-endian 16-bit words."""
    place = np.where(null, 0, at)
    count = np.where(null, 0, words[place].astype(np.int64))
    weight = words[place + 2].astype(np.int16).astype(np.int64)
    sign = np.where(null, _POSITIVE, words[place + 4])
    # An exponent of ten for the first digit; each further digit is worth 10,000 times less.
    top = 4 * weight + scale
    fast = (sign == _POSITIVE) | (sign == _NEGATIVE)
    fast &= (top + 4 <= _FAST_DIGITS) | (count == 0)
    total, exact = _sum_digits(words, place, np.where(fast, count, 0), top)
    total = np.where(sign == _NEGATIVE, -total, total)
    pairs = np.empty((len(at), 2), dtype=np.int64)
    pairs[:, 0] = total
    pairs[:, 1] = total >> 63
    for row in np.flatnonzero(~(fast & exact) & ~null):
        unscaled = _unscaled(buffer[at[row] : at[row] + size[row]].tobytes(), scale)
        pairs[row] = np.frombuffer(unscaled.to_bytes(16, "little", signed=True), dtype=np.int64)
    valid = pa.py_buffer(np.packbits(~null, bitorder="little"))
    return pa.Array.from_buffers(pa.decimal128(38, scale), len(at), [valid, pa.py_buffer(pairs)])


def _sum_digits(
    words: npt.NDArray[Any], place: npt.NDArray[np.int64], count: npt.NDArray[np.int64], top: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The unscaled values, and whether each came out whole."""
    total = np.zeros(len(place), dtype=np.int64)
    exact = np.ones(len(place), dtype=np.bool_)
    powers = 10 ** np.arange(_FAST_DIGITS + 1, dtype=np.int64)
    for position in range(int(count.max(initial=0))):
        rows = np.flatnonzero(count > position)
        digit = words[place[rows] + 8 + 2 * position].astype(np.int64)
        exponent = top[rows] - 4 * position
        above = np.clip(exponent, 0, _FAST_DIGITS)
        below = np.clip(-exponent, 0, 4)
        total[rows] += digit * powers[above] // powers[below]
        exact[rows] &= digit % powers[below] == 0
    return total, exact


def _unscaled(raw: bytes, scale: int) -> int:
    """One value times 10**scale, or UNREPRESENTABLE."""
    words = [int.from_bytes(raw[place : place + 2], "big") for place in range(0, len(raw), 2)]
    count, weight, sign = words[0], words[1] - 65_536 * (words[1] >> 15), words[2]
    if sign not in (_POSITIVE, _NEGATIVE):
        return UNREPRESENTABLE
    total: int = 0
    for digit in words[4 : 4 + count]:
        total = total * 10_000 + digit
    exponent = 4 * (weight - count + 1) + scale
    total, rest = divmod(total * 10 ** max(exponent, 0), 10 ** max(-exponent, 0))
    if rest:
        return UNREPRESENTABLE
    if total >= _DECIMAL_LIMIT:
        return UNREPRESENTABLE
    return -total if sign == _NEGATIVE else total
