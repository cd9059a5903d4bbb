"""The source's values in the canonical form that the target's are decoded to.

The rules of sameness that need a change of a value stand here: padding of `char`, the NUL character that PostgreSQL
cannot store, and the widening of types. Everything else is the same only when it is equal bit by bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from paralelo.verify.columns import Column

NUL = "\0"


def canonical_schema(columns: Sequence[Column]) -> pa.Schema:
    """The schema both sides are brought to, with the target's names."""
    return pa.schema([pa.field(column.target, column.canonical) for column in columns])


def canonical_source(batch: pa.RecordBatch, columns: Sequence[Column], nul_replacement: str | None) -> pa.RecordBatch:
    """A batch as the tap delivers it, canonical. `nul_replacement` is what the target wrote for a NUL character."""
    arrays = [_source_array(batch.column(index), column, nul_replacement) for index, column in enumerate(columns)]
    return pa.RecordBatch.from_arrays(arrays, schema=canonical_schema(columns))


def canonical_target(batch: pa.RecordBatch, columns: Sequence[Column]) -> pa.RecordBatch:
    """A decoded batch, canonical: only padding is left to take away."""
    arrays = [
        _unpadded(batch.column(index)) if column.padded else batch.column(index) for index, column in enumerate(columns)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)


def _source_array(array: Any, column: Column, nul_replacement: str | None) -> Any:
    wanted = column.canonical
    if pa.types.is_decimal(wanted) and pa.types.is_integer(array.type):
        array = array.cast(pa.int64()).cast(pa.decimal128(38 - wanted.scale, 0))
    if array.type != wanted:
        array = array.cast(wanted)
    if column.family == "text":
        if nul_replacement is not None and _has_nul(array):
            array = pc.replace_substring(array, NUL, nul_replacement)
        if column.padded:
            array = _unpadded(array)
    return array


def _has_nul(array: Any) -> bool:
    """The buffer is searched for a zero byte first: nearly every batch has none."""
    content = array.buffers()[2]
    if content is None or np.frombuffer(content, np.uint8).all():
        return False
    return bool(pc.any(pc.match_substring(array, NUL)).as_py())


def _unpadded(array: Any) -> Any:
    return pc.utf8_rtrim(array, " ")
