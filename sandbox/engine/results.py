"""From what DuckDB gives to what the client was promised: columns' types, and values in stored form."""

from __future__ import annotations

import contextlib
import datetime
import decimal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from ..tds.parameters import Value
from ..tds.rows import DAY, EPOCH_DAYS
from ..tds.tokens import ResultColumn
from ..tds.types import MAX, SqlType
from .declared import UNKNOWN

BATCH = 16_384
"""Rows encoded at a time: enough for NumPy to pay, little enough to stay in the processor's cache."""


def columns(promised: Sequence[ResultColumn], schema: pa.Schema) -> tuple[ResultColumn, ...]:
    """The columns of a result: as declared where the stored form agrees, as DuckDB's type says where not."""
    made = []
    for index, field in enumerate(schema):
        one = promised[index] if index < len(promised) else ResultColumn(field.name, UNKNOWN)
        kind = _agreed(one.type, field.type)
        made.append(one if kind is one.type else ResultColumn(one.name, kind, one.nullable, one.identity, one.computed))
    return tuple(made)


def natural(kind: pa.DataType) -> SqlType:
    """The SQL Server type nearest to an Arrow one."""
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "arrow.bool8":
            return SqlType("bit")
        return SqlType("uniqueidentifier") if kind.extension_name == "arrow.uuid" else SqlType("numeric", 0, 38, 0)
    if pa.types.is_decimal(kind):
        return SqlType("decimal", 0, kind.precision, kind.scale)
    if pa.types.is_timestamp(kind):
        return SqlType("datetime2", 0, 0, 6)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return SqlType("nvarchar", 4000)
    names = {
        "int8": "smallint",
        "uint8": "tinyint",
        "int16": "smallint",
        "int32": "int",
        "int64": "bigint",
        "uint16": "int",
        "uint32": "bigint",
        "bool": "bit",
        "float": "real",
        "double": "float",
        "date32[day]": "date",
        "time64[us]": "time",
        "null": "int",
    }
    name = names.get(str(kind))
    if name == "time":
        return SqlType("time", 0, 0, 6)
    return SqlType(name) if name else SqlType("varbinary", MAX)


def _agreed(promised: SqlType, given: pa.DataType) -> SqlType:
    if promised is UNKNOWN:
        return natural(given)
    own = natural(given)
    if promised.family == "decimal":
        scale = promised.kind.scale if "money" in promised.name else promised.scale
        return promised if own.family == "decimal" and own.scale == scale else own
    if promised.family in ("ticks", "time") and own.family in ("int", promised.family):
        return promised
    if promised.family == "offset" and own.name == "numeric":
        return promised
    if promised.family == own.family or pa.types.is_null(given):
        return promised
    if promised.family == "bit" and own.family == "int":
        return promised
    if promised.family == "int" and own.name == "numeric":
        return promised
    return own


def stored_value(kind: SqlType, value: Any) -> Value:
    """A value DuckDB's Python interface returned, in the form a parameter of that type takes."""
    if isinstance(value, datetime.datetime):
        since = value - datetime.datetime(1970, 1, 1)
        return EPOCH_DAYS * DAY + (since.days * 86400 + since.seconds) * 10_000_000 + since.microseconds * 10
    if isinstance(value, datetime.date):
        return value.toordinal() - 1
    if kind.family == "bit" and value is not None:
        return bool(value)
    if kind.family == "int" and isinstance(value, decimal.Decimal | float):
        return int(value)
    return value  # type: ignore[no-any-return]


_KINDS: dict[str, type[duckdb.Error]] = {
    "INTERRUPT": duckdb.InterruptException,
    "Conversion": duckdb.ConversionException,
    "Out of Range": duckdb.OutOfRangeException,
    "Constraint": duckdb.ConstraintException,
}


def read(reader: pa.RecordBatchReader, cancelled: Callable[[], bool]) -> Iterator[pa.RecordBatch]:
    """The reader's batches until a cancellation, with DuckDB's own error for one that Arrow carried."""
    batches = iter(reader)
    while not cancelled():
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            kind = next((k for word, k in _KINDS.items() if str(error).startswith(word)), duckdb.InvalidInputException)
            raise kind(str(error)) from error
        if batch is None:
            return
        if batch.num_rows:
            yield batch


def quiet(cursor: duckdb.DuckDBPyConnection) -> None:
    """Give up a result that was not read to its end, so that the connection can be used again."""
    with contextlib.suppress(duckdb.Error, AttributeError):
        cursor.abort()
