"""Arrow batches to TDS rows, a column at a time.

Each column becomes one or more Arrow binary arrays, built by NumPy, whose elements are the bytes a row
carries for it; Arrow then joins them row by row in C++, outside Python's global lock. A NULL is no bytes
at all in an NBCROW ([MS-TDS] 2.2.7.14), whose bitmap says which columns are missing; clients older than
TDS 7.3B get plain ROW tokens, where every type has its own way to say NULL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .types import CODE_PAGE, COLLATION, LONG, MAX, PASSED_ON, WIDE, SqlType, decimal_bytes, time_bytes

Bytes = npt.NDArray[np.uint8]
Piece: TypeAlias = pa.Array
DAY = 864_000_000_000
"""Ticks of 100 ns in a day."""
EPOCH_DAYS = 719_162
"""Days from 0001-01-01 to 1970-01-01."""
DAYS_TO_1900 = 693_595
REPEATS = 1024
"""Rows from which it pays to look for repeated text."""
OFFSET_BIAS = 1024
"""Added to a datetimeoffset's minutes so that they fit eleven bits without a sign."""


def encode(batch: pa.RecordBatch, types: Sequence[SqlType], nbc: bool) -> memoryview:
    """The rows of a batch as one run of ROW or NBCROW tokens."""
    rows = batch.num_rows
    pieces: list[Piece] = []
    nulls: list[npt.NDArray[np.bool_] | None] = []
    for array, kind in zip(batch.columns, types, strict=True):
        made = column(array, kind)
        missing = None if array.null_count == 0 else ~_valid(array)
        nulls.append(missing)
        if missing is not None and not nbc:
            made = [pc.if_else(pa.array(missing), pa.scalar(null_bytes(kind), pa.binary()), made[0]), *made[1:]]
        pieces += made
    head = _bitmap(nulls, rows) if nbc else np.full((rows, 1), 0xD1, np.uint8)
    separator = pa.scalar(b"", pa.binary())
    joined = pc.binary_join_element_wise(
        _fixed(head, None), *pieces, separator, null_handling="replace", null_replacement=""
    )
    chunks = joined.chunks if isinstance(joined, pa.ChunkedArray) else [joined]
    if len(chunks) != 1:
        return memoryview(b"".join(bytes(_data(chunk)) for chunk in chunks))
    return _data(chunks[0])


def _data(array: pa.Array) -> memoryview:
    offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
    body = array.buffers()[2]
    return memoryview(body if body is not None else b"")[int(offsets[0]) : int(offsets[-1])].cast("B")


def _bitmap(nulls: Sequence[npt.NDArray[np.bool_] | None], rows: int) -> Bytes:
    width = (len(nulls) + 7) // 8
    head = np.zeros((rows, 1 + width), np.uint8)
    head[:, 0] = 0xD2
    for index, missing in enumerate(nulls):
        if missing is not None:
            head[:, 1 + index // 8] |= missing.view(np.uint8) << np.uint8(index % 8)
    return head


def _valid(array: pa.Array) -> npt.NDArray[np.bool_]:
    valid: npt.NDArray[np.bool_] = array.is_valid().to_numpy(zero_copy_only=False)
    return valid


def _validity(array: pa.Array) -> pa.Buffer | None:
    if array.null_count == 0:
        return None
    bitmap: pa.Buffer = array.buffers()[0] if array.offset == 0 else array.is_valid().buffers()[1]
    return bitmap


def _fixed(matrix: npt.NDArray[Any], validity: pa.Buffer | None) -> Piece:
    rows = len(matrix)
    width = matrix.itemsize if matrix.ndim == 1 else matrix.shape[1] * matrix.itemsize
    offsets = np.arange(0, (rows + 1) * width, width, dtype=np.int32) if width else np.zeros(rows + 1, np.int32)
    data = np.ascontiguousarray(matrix)
    return pa.Array.from_buffers(
        pa.binary(), rows, [validity, pa.py_buffer(offsets), pa.py_buffer(data.view(np.uint8).reshape(-1))]
    )


def _values(array: pa.Array, dtype: str, per_row: int = 1) -> npt.NDArray[Any]:
    start, stop = array.offset * per_row, (array.offset + len(array)) * per_row
    return np.frombuffer(array.buffers()[1], dtype)[start:stop]


def column(array: pa.Array, kind: SqlType) -> list[Piece]:
    """The pieces one column adds to each row."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_null(array.type):
        return [pa.nulls(len(array), pa.binary())]
    return _ENCODERS[kind.family if kind.name not in _BY_NAME else kind.name](array, kind)


def _prefixed(values: npt.NDArray[Any], dtype: str, length: int, validity: pa.Buffer | None) -> Piece:
    record = np.empty(len(values), np.dtype([("length", "u1"), ("value", dtype)]))
    record["length"] = length
    record["value"] = values
    return _fixed(record, validity)


def _integer(array: pa.Array, kind: SqlType) -> list[Piece]:
    want = {"tinyint": "u1", "smallint": "<i2", "int": "<i4", "bigint": "<i8"}[kind.name]
    values = _integers(array)
    return [_prefixed(values.astype(want, copy=False), want, kind.kind.size, _validity(array))]


def _integers(array: pa.Array) -> npt.NDArray[Any]:
    """Whole numbers of any Arrow integer, boolean or 128-bit type."""
    if pa.types.is_boolean(array.type):
        return np.asarray(array.fill_null(False).to_numpy(zero_copy_only=False)).view(np.uint8)
    if array.type.bit_width == 128:
        return _values(array, "<i8", 2)[::2]
    return _values(array, {"u": "<u", "i": "<i"}[str(array.type)[0]] + str(array.type.bit_width // 8))


def _bit(array: pa.Array, kind: SqlType) -> list[Piece]:
    return [_prefixed((_integers(array) != 0).view(np.uint8), "u1", 1, _validity(array))]


def _float(array: pa.Array, kind: SqlType) -> list[Piece]:
    source = "<f4" if pa.types.is_float32(array.type) else "<f8"
    want = "<f4" if kind.name == "real" else "<f8"
    values = _values(array, source).astype(want, copy=False)
    return [_prefixed(values, want, kind.kind.size, _validity(array))]


def _decimal(array: pa.Array, kind: SqlType) -> list[Piece]:
    halves = _values(array, "<u8", 2).reshape(-1, 2)
    low, high = halves[:, 0], halves[:, 1]
    negative = high >> np.uint64(63)
    if negative.any():
        minus = negative.astype(np.bool_)
        high = np.where(minus, ~high + (low == 0), high)
        low = np.where(minus, ~low + np.uint64(1), low)
    length = decimal_bytes(kind.precision)
    record = np.empty(len(low), np.dtype([("length", "u1"), ("sign", "u1"), ("low", "<u8"), ("high", "<u8")]))
    record["length"] = length
    record["sign"] = negative ^ np.uint64(1)
    record["low"] = low
    record["high"] = high
    matrix = record.view(np.uint8).reshape(-1, 18)
    return [_fixed(matrix if length == 17 else matrix[:, : length + 1], _validity(array))]


def _money(array: pa.Array, kind: SqlType) -> list[Piece]:
    low = _values(array, "<i8", 2)[::2]
    if kind.name == "smallmoney":
        return [_prefixed(low.astype("<i4"), "<i4", 4, _validity(array))]
    # [MS-TDS] 2.2.5.5.1.2: the more significant four bytes come first.
    swapped = (low >> 32) & 0xFFFFFFFF | (low << 32)
    return [_prefixed(swapped, "<i8", 8, _validity(array))]


def _date(array: pa.Array, kind: SqlType) -> list[Piece]:
    days = _values(array, "<i4") + EPOCH_DAYS
    return [_fixed((days.astype("<u4") << np.uint32(8)) | np.uint32(3), _validity(array))]


def _ticks(array: pa.Array) -> npt.NDArray[np.int64]:
    """Ticks of 100 ns since 0001-01-01 from the stored number, or from a timestamp DuckDB made."""
    values = _values(array, "<i8")
    if pa.types.is_timestamp(array.type):
        return values * 10 + EPOCH_DAYS * DAY
    return values


def _sized(values: npt.NDArray[Any], length: int, validity: pa.Buffer | None) -> Piece:
    """A length byte and the low `length` bytes of each 64-bit value."""
    record = np.empty(len(values), np.dtype([("length", "u1"), ("value", "<u8")]))
    record["length"] = length
    record["value"] = values
    matrix = record.view(np.uint8).reshape(-1, 9)
    return _fixed(matrix if length == 8 else matrix[:, : length + 1], validity)


def _datetime2(array: pa.Array, kind: SqlType) -> list[Piece]:
    ticks = _ticks(array)
    days = ticks // DAY
    clock = (ticks - days * DAY) // 10 ** (7 - kind.scale)
    width = time_bytes(kind.scale)
    return [_sized(clock | (days << (8 * width)), width + 3, _validity(array))]


def _time(array: pa.Array, kind: SqlType) -> list[Piece]:
    clock = _values(array, "<i8")
    if pa.types.is_time(array.type):
        clock = clock * 10
    return [_sized(clock // 10 ** (7 - kind.scale), time_bytes(kind.scale), _validity(array))]


def _datetime(array: pa.Array, kind: SqlType) -> list[Piece]:
    ticks = _ticks(array)
    if kind.name == "smalldatetime":
        minutes = (ticks - DAYS_TO_1900 * DAY + 300_000_000) // 600_000_000
        return [_sized((minutes // 1440) | ((minutes % 1440) << 16), 4, _validity(array))]
    days = ticks // DAY
    clock = ((ticks - days * DAY) * 3 + 50_000) // 100_000
    carried = clock // 25_920_000
    days, clock = days + carried - DAYS_TO_1900, clock - carried * 25_920_000
    return [_sized((days & 0xFFFFFFFF) | (clock << 32), 8, _validity(array))]


def _offset(array: pa.Array, kind: SqlType) -> list[Piece]:
    halves = _values(array, "<u8", 2).reshape(-1, 2)
    minutes = (halves[:, 0] & np.uint64(2047)).astype(np.int64) - OFFSET_BIAS
    ticks = ((halves[:, 0] >> np.uint64(11)) | (halves[:, 1] << np.uint64(53))).astype(np.int64)
    days = ticks // DAY
    width = time_bytes(kind.scale)
    clock = (ticks - days * DAY) // 10 ** (7 - kind.scale)
    record = np.empty(len(ticks), np.dtype([("length", "u1"), ("value", "<u8"), ("minutes", "<i2")]))
    record["length"] = width + 5
    record["value"] = clock | (days << (8 * width))
    record["minutes"] = minutes
    matrix = record.view(np.uint8).reshape(-1, 11)
    chosen = [0, *range(1, 1 + width + 3), 9, 10]
    return [_fixed(matrix[:, chosen], _validity(array))]


_GUID_ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]


def _guid(array: pa.Array, kind: SqlType) -> list[Piece]:
    if not pa.types.is_fixed_size_binary(array.type):
        packed = [None if v is None else bytes.fromhex(v.replace("-", "")) for v in array.to_pylist()]
        array = pa.array(packed, pa.binary(16))
    raw = _values(array, "u1", 16).reshape(-1, 16)
    matrix = np.empty((len(raw), 17), np.uint8)
    matrix[:, 0] = 16
    matrix[:, 1:] = raw[:, _GUID_ORDER]
    return [_fixed(matrix, _validity(array))]


def _recoded(array: pa.Array, wide: bool) -> pa.Array:
    """UTF-8 text as UTF-16 or as the collation's code page, whole buffers at a time.

    A character the code page lacks becomes a question mark, as SQL Server writes it on conversion.
    """
    rows = len(array)
    offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + rows + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    body = array.buffers()[2]
    text = np.frombuffer(body, np.uint8)[first:last] if body is not None else np.empty(0, np.uint8)
    starts = offsets - first
    plain = not len(text) or int(text.max()) < 128
    if plain and not wide:
        return pa.Array.from_buffers(pa.binary(), rows, [_validity(array), pa.py_buffer(starts), pa.py_buffer(text)])
    if plain:
        encoded: Any = np.zeros((len(text), 2), np.uint8)
        encoded[:, 0] = text
        return pa.Array.from_buffers(
            pa.binary(), rows, [_validity(array), pa.py_buffer(starts * 2), pa.py_buffer(encoded.reshape(-1))]
        )
    if rows >= REPEATS:
        seen = array.dictionary_encode()
        if len(seen.dictionary) * 4 < rows:
            # Towns and ranges repeat: recode each once and copy it to its rows.
            return _recoded(seen.dictionary, wide).take(seen.indices)
    decoded = text.tobytes().decode("utf-8")
    encoded = decoded.encode("utf-16-le") if wide else decoded.encode(CODE_PAGE, PASSED_ON)
    units = ((text & 0xC0) != 0x80).astype(np.int32)
    if wide:
        units += text >= 0xF0
    before = np.concatenate([np.zeros(1, np.int32), np.cumsum(units, dtype=np.int32)])[starts]
    places = np.ascontiguousarray(before * 2 if wide else before, dtype=np.int32)
    return pa.Array.from_buffers(pa.binary(), rows, [_validity(array), pa.py_buffer(places), pa.py_buffer(encoded)])


def _string(array: pa.Array, kind: SqlType) -> list[Piece]:
    if not (pa.types.is_string(array.type) or pa.types.is_binary(array.type)):
        array = array.cast(pa.string())
    return _measured(_recoded(array, kind.name in WIDE), kind)


def _binary(array: pa.Array, kind: SqlType) -> list[Piece]:
    if not pa.types.is_binary(array.type):
        array = array.cast(pa.binary())
    return _measured(array, kind)


def _measured(array: pa.Array, kind: SqlType) -> list[Piece]:
    """Variable bytes with the length their type puts before them."""
    offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
    lengths = np.diff(offsets)
    validity = _validity(array)
    if kind.name in LONG:
        head = np.zeros(len(lengths), np.dtype([("size", "u1"), ("pointer", "V24"), ("length", "<i4")]))
        head["size"] = 16
        head["length"] = lengths
        return [_fixed(head, validity), array]
    if kind.name == "sql_variant":
        # The base type is nvarchar: its code, seven property bytes (collation and maximum length), the text.
        variant = np.zeros(
            len(lengths),
            np.dtype([("length", "<u4"), ("base", "u1"), ("props", "u1"), ("collation", "V5"), ("maximum", "<u2")]),
        )
        variant["length"] = lengths + 9
        variant["base"], variant["props"], variant["maximum"] = 0xE7, 7, 8000
        variant["collation"] = np.void(COLLATION)
        return [_fixed(variant, validity), array]
    if kind.is_max or kind.length == MAX:
        plp = np.empty(len(lengths), np.dtype([("total", "<u8"), ("chunk", "<u4")]))
        plp["total"], plp["chunk"] = lengths, lengths
        # An empty value's chunk length of nought already ends it.
        places = np.concatenate([np.zeros(1, np.int32), np.cumsum((lengths > 0) * 4, dtype=np.int32)])
        ends = pa.Array.from_buffers(
            pa.binary(), len(lengths), [validity, pa.py_buffer(places), pa.py_buffer(bytes(int(places[-1])))]
        )
        return [_fixed(plp, validity), array, ends]
    return [_fixed(lengths.astype("<u2"), validity), array]


_BY_NAME = frozenset({"money", "smallmoney", "datetime", "smalldatetime"})
_ENCODERS: dict[str, Callable[[pa.Array, SqlType], list[Piece]]] = {
    "int": _integer,
    "bit": _bit,
    "float": _float,
    "decimal": _decimal,
    "money": _money,
    "smallmoney": _money,
    "date": _date,
    "ticks": _datetime2,
    "time": _time,
    "datetime": _datetime,
    "smalldatetime": _datetime,
    "offset": _offset,
    "guid": _guid,
    "string": _string,
    "binary": _binary,
}


def null_bytes(kind: SqlType) -> bytes:
    """How a ROW token says NULL for this type."""
    if kind.name in LONG:
        return b"\x00"
    if kind.name == "sql_variant":
        return b"\x00\x00\x00\x00"
    if kind.family in ("string", "binary"):
        return b"\xff" * 8 if kind.is_max else b"\xff\xff"
    return b"\x00"
