"""The rows of an Arrow batch as the values of RECORD messages: the same values, in JSON's terms."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc


def records(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """One dict a row, in the batch's order.

    Times are ISO 8601 with six digits of the second, `+00:00` where the type has a zone; binary is base64; decimals
    stay `Decimal`, which Singer's own JSON encoder writes with every digit. Infinities and NaN are texts, `Infinity`,
    `-Infinity`, `NaN`: JSON has no number for them, and a target that cannot take them should say so, not store NULL.
    """
    names = batch.schema.names
    values = [json_values(column) for column in batch.columns]
    for row in zip(*values, strict=True):
        yield dict(zip(names, row, strict=True))


def json_values(column: pa.Array) -> list[Any]:
    """The values of one column."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        text = pc.replace_substring(column.cast(pa.timestamp(kind.unit)).cast(pa.string()), " ", "T")
        zone = "+00:00" if kind.tz else ""
        return [None if value is None else value + zone for value in text.to_pylist()]
    if pa.types.is_date(kind) or pa.types.is_time(kind):
        values: list[Any] = column.cast(pa.string()).to_pylist()
        return values
    if pa.types.is_fixed_size_binary(kind):
        return [None if value is None else str(UUID(bytes=value)) for value in column.to_pylist()]
    if pa.types.is_large_binary(kind) or pa.types.is_binary(kind):
        return [None if value is None else base64.b64encode(value).decode() for value in column.to_pylist()]
    plain: list[Any] = column.to_pylist()
    if pa.types.is_floating(kind) and pc.all(pc.is_finite(column)).as_py() is False:
        return [value if value is None or math.isfinite(value) else _UNBOUNDED[str(value)] for value in plain]
    return plain


_UNBOUNDED = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
