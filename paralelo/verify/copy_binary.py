"""PostgreSQL's COPY BINARY, decoded into Arrow column by column.

Each row is a message: a field count, then for each field a length and that many bytes. Where the fields of a row lie
depends on the row, but the first field of *every* row is found by one vectorised read, and so the second, and so on:
no loop over rows, and no conversion that could lose a digit. adbc's driver has had silent numeric corruptions; here
each format is written out, from the `*send` functions' documented wire forms, and tested against the server's text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from paralelo.verify.numerics import decode_numerics

HEADER = b"PGCOPY\n\xff\r\n\0"
DATE_EPOCH_DAYS = 10_957
"""Days from 1970-01-01 to 2000-01-01, where PostgreSQL counts from."""
MICROSECONDS_OF_EPOCH = DATE_EPOCH_DAYS * 86_400_000_000
INFINITE_DAY = (2**31 - 1, -(2**31))
INFINITE_MICROSECOND = (2**63 - 1, -(2**63))

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Nulls = npt.NDArray[np.bool_]


class Undecodable(ValueError):
    """The bytes are not what COPY BINARY sends for these columns."""


def decode(rows: Sequence[bytes | bytearray | memoryview], schema: pa.Schema, stored: Sequence[str]) -> pa.RecordBatch:
    """Rows as the server sent them, without the stream's header and trailer, as one batch of the schema.

    `stored` names each column's type in PostgreSQL (`int4`), and so its wire form. Raises Undecodable.
    """
    if not rows:
        return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    # Sixteen bytes more, an identifier: reading what a NULL in the last place would begin with never leaves the buffer.
    buffer = np.frombuffer(b"".join((*rows, b"\0" * 16)), dtype=np.uint8)
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    if not (_words(buffer, ">i2")[starts] == len(schema)).all():
        raise Undecodable("the server sent another number of columns than was asked for")
    at = starts + 2
    arrays = []
    for field, kind in zip(schema, stored, strict=True):
        size = _words(buffer, ">i4")[at].astype(np.int64)
        at += 4
        null = size < 0
        size[null] = 0
        arrays.append(_column(buffer, at, size, null, field.type, kind))
        at += size
    if not (at == starts + lengths).all():
        raise Undecodable("the server's rows are longer than their fields")
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _words(buffer: Bytes, kind: str) -> npt.NDArray[Any]:
    """The buffer read as words that begin at every byte: `[places]` of it reads many at once."""
    width = np.dtype(kind).itemsize
    words: npt.NDArray[Any] = np.ndarray((len(buffer) - width + 1,), kind, buffer.data, strides=(1,))
    return words


def _column(buffer: Bytes, at: Places, size: Places, null: Nulls, kind: pa.DataType, stored: str) -> Any:
    """One column. A NULL's place points at the next field: what is read there is masked."""
    if stored == "numeric":
        return decode_numerics(buffer, _words(buffer, ">u2"), at, size, null, kind.scale)
    if pa.types.is_large_string(kind) or pa.types.is_large_binary(kind):
        return _variable(buffer, at, size, null, kind)
    if stored == "uuid":
        content = np.where(null[:, None], 0, buffer[at[:, None] + np.arange(16)]).astype(np.uint8)
        return pa.array(pa.FixedSizeBinaryArray.from_buffers(kind, len(at), [_validity(null), pa.py_buffer(content)]))
    if stored in _FIXED:
        word, width = _FIXED[stored]
        if not (size[~null] == width).all():
            raise Undecodable(f"a {stored} of an unexpected length")
        values = np.where(null, 0, _words(buffer, word)[at])
        return _fixed(values, null, kind, stored)
    raise Undecodable(f"no wire form is known for {stored} as {kind}")


_FIXED = {
    "bool": ("u1", 1),
    "int2": (">i2", 2),
    "int4": (">i4", 4),
    "int8": (">i8", 8),
    "float4": (">f4", 4),
    "float8": (">f8", 8),
    "date": (">i4", 4),
    "time": (">i8", 8),
    "timestamp": (">i8", 8),
    "timestamptz": (">i8", 8),
}


def _fixed(values: npt.NDArray[Any], null: Nulls, kind: pa.DataType, stored: str) -> Any:
    if stored == "bool":
        return pa.array(values.astype(np.bool_), mask=null)
    if stored in ("float4", "float8"):
        return pa.array(values.astype(np.float64), mask=null)
    if stored == "date":
        # Infinity keeps its own bits: no day of SQL Server's reaches them, so it differs from every one.
        days = values.astype(np.int64)
        days = np.where(np.isin(days, INFINITE_DAY), days, days + DATE_EPOCH_DAYS)
        within = np.clip(days, INFINITE_DAY[1], INFINITE_DAY[0]).astype(np.int32)
        return pa.array(within, pa.int32(), mask=null).view(kind)
    whole = values.astype(np.int64)
    if stored in ("timestamp", "timestamptz"):
        # From here on a sum could overflow: years beyond 292,000 stay what they are, like infinity.
        distant = whole > INFINITE_MICROSECOND[0] - MICROSECONDS_OF_EPOCH
        distant |= whole == INFINITE_MICROSECOND[1]
        whole = np.where(distant, whole, whole + np.where(distant, 0, MICROSECONDS_OF_EPOCH))
    if pa.types.is_decimal(kind):
        return decimals_of(whole, null, kind)
    return pa.array(whole, pa.int64(), mask=null).view(kind)


def decimals_of(whole: Places, null: Nulls, kind: pa.DataType) -> Any:
    """Integers as decimals of the type, exactly (the type's scale is 0 where the source's column is an integer)."""
    return pa.array(whole, pa.int64(), mask=null).cast(pa.decimal128(38 - kind.scale, 0)).cast(kind)


def _variable(buffer: Bytes, at: Places, size: Places, null: Nulls, kind: pa.DataType) -> Any:
    """Texts and byte strings. The buffer itself is seen as value, gap, value, gap…; Arrow then takes every second."""
    bounds = np.empty(2 * len(at) + 1, dtype=np.int64)
    bounds[0:-1:2] = at
    bounds[1::2] = at + size
    bounds[-1] = bounds[-2]
    seen = pa.Array.from_buffers(kind, 2 * len(at), [None, pa.py_buffer(bounds), pa.py_buffer(buffer)])
    return seen.take(pa.array(np.arange(0, 2 * len(at), 2), mask=null))


def _validity(null: Nulls) -> Any:
    return pa.py_buffer(np.packbits(~null, bitorder="little"))
