"""From a driver's Arrow batches to the batch file's exact types, by whole columns."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sync_rules.batch_info import KeyValue

_BYTES_OF_UUID = 16


def cast_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The first columns of the batch in the schema's types; columns beyond the schema are left off."""
    arrays = [cast(batch.column(index), field.type) for index, field in enumerate(schema)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """The column in the wanted type, without a change of value except times cut to microseconds."""
    if column.type.equals(kind):
        return column
    if pa.types.is_fixed_size_binary(kind):
        return identifiers(column)
    if pa.types.is_time(kind) or pa.types.is_timestamp(kind):
        return column.cast(kind, safe=False)
    if pa.types.is_boolean(kind) and pa.types.is_integer(column.type):
        return pc.not_equal(column, 0)
    return column.cast(kind)


def identifiers(column: pa.Array) -> pa.Array:
    """uniqueidentifier's text as 16 bytes in the order of its text, which is PostgreSQL's order of a uuid."""
    if pa.types.is_fixed_size_binary(column.type) or len(column) == column.null_count:
        return column.cast(pa.binary(16))
    valid = column.drop_null().cast(pa.large_string())
    digits = pc.replace_substring(valid, "-", "").buffers()[2]
    packed = bytes.fromhex(str(digits, "ascii"))
    if len(packed) != len(valid) * _BYTES_OF_UUID:
        raise pa.ArrowInvalid("a uniqueidentifier is not of 32 digits")
    given = pa.Array.from_buffers(pa.binary(_BYTES_OF_UUID), len(valid), [None, pa.py_buffer(packed)])
    if not column.null_count:
        return given
    there = column.is_valid()
    return given.take(pc.if_else(there, pc.subtract(pc.cumulative_sum(there.cast(pa.int64())), 1), None))


def key_value(value: Any) -> KeyValue:
    """A key column's value for the bookmark: integers as they are, everything else as exact text."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes | bytearray | memoryview):
        return "0x" + bytes(value).hex().upper()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def replaced(batch: pa.RecordBatch, columns: Sequence[int]) -> int:
    """In how many texts U+FFFD stands, which drivers put where UTF-16 has half a character."""
    return sum(int(pc.sum(pc.match_substring(batch.column(at), "\ufffd")).as_py() or 0) for at in columns)


def holds_mark(column: pa.Array) -> bool:
    """Whether a `?` stands in a text column, or in the buffer it is a part of."""
    return b"?" in bytes(column.buffers()[2] or b"")


def first_with(column: pa.Array, characters: Sequence[str]) -> int | None:
    """The first row whose text has the first of these characters, all beyond ASCII, that any has."""
    texts = column.cast(pa.large_string())
    stored = bytes(texts.buffers()[2] or b"")
    if stored.isascii():
        return None
    for character in characters:
        code = character.encode()
        if code[-1] in stored and code in stored:  # to look for one byte is the quicker of the two
            row = int(pc.index(pc.match_substring(texts, character), True).as_py())
            if row >= 0:
                return row
    return None


def repeats(batches: Sequence[pa.RecordBatch], columns: Sequence[int]) -> bool:
    """Whether two rows that follow each other are equal in all of these columns; no where there are no columns."""
    if not columns:
        return False
    table = pa.Table.from_batches(batches).select(list(columns))
    pairs = (pc.equal(column.slice(1), column.slice(0, len(column) - 1)) for column in table.columns)
    return bool(pc.any(reduce(pc.and_, pairs)).as_py())


def sums(batches: Sequence[pa.RecordBatch], column: int) -> int:
    """The total of a counting column."""
    return sum(int(pc.sum(batch.column(column)).as_py() or 0) for batch in batches)
