"""Arrow tables into what COPY reads, without a Python object per row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pgpq
import pgpq.encoders
import pgpq.schema
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import simplejson
from psycopg import errors as pg

from target_postgres.postgres_types import PostgresType

CHUNK_ROWS = 8192
CHUNK_BYTES = 8 * 1024 * 1024
"""A chunk is what is encoded at once: no more rows, and not many more bytes, than this."""
_PIECE = 1 << 20
"""A large value goes in pieces of so many bytes."""
_TRAILER = b"\xff\xff"
"""The end of COPY's binary form."""

_WIRE: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "date": pa.date32(),
    "time without time zone": pa.time64("us"),
    "timestamp without time zone": pa.timestamp("us"),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
}
NUMERIC_DIGITS = 131_072 + 16_383
"""As many as a `numeric` may have."""
_TEXTS = ("character", "character varying", "text", "json", "jsonb")


@dataclass(frozen=True)
class Frame:
    """Rows ready for COPY: columns by their names in the database, in the order of `types`.

    `binary` says which of COPY's formats the columns are for; without it they are all text that PostgreSQL parses.
    `truncated` counts values that lost digits of a second that PostgreSQL cannot hold, `nul_replaced` those that lost a
    NUL character already.
    """

    data: pa.Table
    types: Mapping[str, PostgresType]
    binary: bool
    truncated: int = 0
    nul_replaced: int = 0

    @property
    def rows(self) -> int:
        """Rows in the frame."""
        return int(self.data.num_rows)

    def with_data(self, data: pa.Table) -> Frame:
        """The same columns with other rows."""
        return replace(self, data=data)

    def slice(self, start: int, length: int) -> Frame:
        """Some of the rows; nothing is copied."""
        return self.with_data(self.data.slice(start, length))

    def copy_options(self) -> str:
        """COPY's options for the format."""
        return "FORMAT binary" if self.binary else "FORMAT csv"

    def encoded(self) -> Iterator[bytes]:
        """The bytes to send, a chunk at a time."""
        return _binary(self) if self.binary else _csv(self.data)


def frame(table: pa.Table, types: Mapping[str, PostgresType]) -> Frame:
    """Bring an Arrow table's columns to the exact types that COPY BINARY wants for `types`.

    `table` has the columns by their names in the database; those that `types` does not name are left out, those that
    it lacks are not sent. Where a column has no binary form the whole frame goes as text, which is slower and as exact.
    """
    present = {name: kind for name, kind in types.items() if name in table.column_names}
    columns, truncated = [], 0
    for name, kind in present.items():
        column = _plain(table.column(name))
        wanted = _wire_type(kind, column.type)
        if wanted is None:
            return _text_frame(table, present)
        if wanted != column.type:
            try:
                truncated += _digits_lost(column, wanted)
                column = _cast(column, wanted)
            except pa.ArrowInvalid:
                # A value is out of the type's range: PostgreSQL finds the row, to be kept as a reject.
                return _text_frame(table, present)
        columns.append(column)
    return Frame(pa.table(columns, names=list(present)), present, True, truncated)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Dictionaries, run lengths and views unpacked, nested values as JSON."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(column.cast(kind.value_type))
    if pa.types.is_run_end_encoded(kind):
        return _plain(pa.chunked_array([pc.run_end_decode(chunk) for chunk in column.chunks], kind.value_type))
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return column.cast(pa.large_string() if pa.types.is_string_view(kind) else pa.large_binary())
    if pa.types.is_nested(kind):
        texts = [None if value is None else dump_json(value) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.large_string())])
    return column


def _wire_type(kind: PostgresType, given: pa.DataType) -> pa.DataType | None:
    """The Arrow type whose COPY BINARY form is `kind`'s, or None where `given` cannot be brought to one exactly."""
    if pa.types.is_null(given):
        return _WIRE.get(kind.name) or _wire_of_null(kind)
    if kind.name in ("smallint", "integer", "bigint"):
        return _WIRE[kind.name] if pa.types.is_integer(given) else None
    if kind.name == "numeric":
        if pa.types.is_decimal128(given):
            return given
        return pa.decimal128(20, 0) if pa.types.is_integer(given) else None
    if kind.name in ("real", "double precision"):
        return _WIRE[kind.name] if pa.types.is_floating(given) else None
    if kind.name in _TEXTS:
        return given if _is_text(given) else None
    if kind.name == "bytea":
        return given if _is_bytes(given) or pa.types.is_fixed_size_binary(given) else None
    if kind.name == "uuid":
        return given if given == pa.binary(16) else None
    return _wire_of_time(kind, given)


def _wire_of_null(kind: PostgresType) -> pa.DataType:
    """Any type will do for a column of nulls: COPY sends no value's bytes."""
    return pa.binary(16) if kind.name == "uuid" else pa.large_string()


def _wire_of_time(kind: PostgresType, given: pa.DataType) -> pa.DataType | None:
    wanted = _WIRE.get(kind.name)
    if kind.name == "boolean":
        return wanted if pa.types.is_boolean(given) else None
    if kind.name == "date":
        return wanted if pa.types.is_date(given) else None
    if kind.name == "time without time zone":
        return wanted if pa.types.is_time(given) else None
    if kind.name == "timestamp without time zone":
        naive = pa.types.is_timestamp(given) and given.tz is None
        return wanted if naive or pa.types.is_date(given) else None
    if kind.name == "timestamp with time zone":
        return wanted if pa.types.is_timestamp(given) and given.tz is not None else None
    return None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_sized(kind: pa.DataType) -> bool:
    return _is_text(kind) or _is_bytes(kind)


def _digits_lost(column: pa.ChunkedArray, wanted: pa.DataType) -> int:
    """How many values have digits of the second below the microsecond."""
    kind = column.type
    nanoseconds = (pa.types.is_timestamp(kind) or pa.types.is_time64(kind)) and kind.unit == "ns"
    if not nanoseconds:
        return 0
    exact = column.cast(wanted, safe=False).cast(kind, safe=False)
    return int(pc.sum(pc.not_equal(column, exact)).as_py() or 0)


def _cast(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    kind = column.type
    floor = (pa.types.is_timestamp(kind) or pa.types.is_time64(kind)) and kind.unit == "ns"
    if floor and pa.types.is_timestamp(kind):
        if kind.tz is not None:
            # By the zone's own clock an hour comes twice in autumn, and cannot be told from the other.
            column = column.cast(pa.timestamp("ns", "UTC"))
        return pc.floor_temporal(column, unit="microsecond").cast(wanted, safe=False)
    return column.cast(wanted, safe=not floor)


def _text_frame(table: pa.Table, types: Mapping[str, PostgresType]) -> Frame:
    columns = [_as_text(_plain(table.column(name)), kind) for name, kind in types.items()]
    return Frame(pa.table(columns, names=list(types)), types, False)


def _as_text(column: pa.ChunkedArray, kind: PostgresType) -> pa.ChunkedArray:
    if _is_text(column.type):
        return column.cast(pa.large_string())
    if _is_bytes(column.type) or pa.types.is_fixed_size_binary(column.type):
        prefix = "" if kind.name == "uuid" else "\\x"
        texts = [None if value is None else prefix + value.hex() for value in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.large_string())])
    return column.cast(pa.large_string())


def _encoder(data: Frame) -> Any:
    builders: dict[str, Any] = {}
    for field in data.data.schema:
        builder = pgpq.ArrowToPostgresBinaryEncoder.infer_encoder(field)
        if data.types[field.name].name == "jsonb":
            # jsonb has a version byte before its text on the wire; text and json have not.
            large = pa.types.is_large_string(field.type)
            text = pgpq.encoders.LargeStringEncoderBuilder if large else pgpq.encoders.StringEncoderBuilder
            builder = text.new_with_output(field, pgpq.schema.Jsonb())
        builders[field.name] = builder
    return pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(data.data.schema, builders)


def _binary(data: Frame) -> Iterator[bytes]:
    encoder = _encoder(data)
    yield encoder.write_header()
    for batch in _chunks(data.data):
        if batch.num_rows == 1 and batch.nbytes > CHUNK_BYTES:
            # What it holds back comes first: of two rows with one key the last one wins.
            yield encoder.finish().removesuffix(_TRAILER)
            encoder = _encoder(data)
            encoder.write_header()
            yield from _large_row(data, batch)
            continue
        try:
            yield encoder.write_batch(batch)
        except ValueError:
            # A date or a time from which PostgreSQL's epoch cannot be taken: the row is to be found, as others are.
            raise pg.DatetimeFieldOverflow("date/time field value out of range") from None
    yield encoder.finish()


def _large_row(data: Frame, row: pa.RecordBatch) -> Iterator[bytes]:
    """A row encoded with NULL for its large values, and in their places these, piece by piece, never copied whole.

    A row is its number of fields in 2 bytes, then each field's length in 4 bytes and its value; NULL has length -1.
    """
    large = [column.nbytes > _PIECE and not column.null_count and _is_sized(column.type) for column in row.columns]
    columns = [pa.nulls(1, c.type) if is_large else c for c, is_large in zip(row.columns, large, strict=True)]
    # An encoder of its own: one holds back what it encodes until that is worth sending.
    encoder = _encoder(data)
    encoder.write_header()
    encoded = encoder.write_batch(pa.RecordBatch.from_arrays(columns, schema=row.schema)) + encoder.finish()
    sent, at = 0, 2
    for column, is_large, kind in zip(row.columns, large, data.types.values(), strict=True):
        if is_large:
            # jsonb has a version byte before its text.
            version, value = b"\x01" if kind.name == "jsonb" else b"", _only_value(column)
            yield encoded[sent:at] + (len(version) + len(value)).to_bytes(4, "big") + version
            yield from (bytes(value[start : start + _PIECE]) for start in range(0, len(value), _PIECE))
            sent = at + 4
        at += 4 + max(0, int.from_bytes(encoded[at : at + 4], "big", signed=True))
    yield encoded[sent:at]


def _only_value(column: pa.Array) -> memoryview:
    """The bytes of the one value, where they are: a scalar would be a copy."""
    _, ends, data = column.buffers()
    offsets = memoryview(ends).cast("q" if column.type in (pa.large_string(), pa.large_binary()) else "i")
    return memoryview(data)[offsets[column.offset] : offsets[column.offset + 1]]


def _csv(data: pa.Table) -> Iterator[bytes]:
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid")
    for batch in _chunks(data):
        buffer = pa.BufferOutputStream()
        pyarrow.csv.write_csv(pa.Table.from_batches([batch]), buffer, options)
        yield buffer.getvalue().to_pybytes()


def _chunks(data: pa.Table) -> Iterator[pa.RecordBatch]:
    if not data.num_rows:
        return
    each = data.nbytes / data.num_rows
    rows = max(1, min(CHUNK_ROWS, int(CHUNK_BYTES / max(each, 1))))
    yield from data.to_batches(max_chunksize=rows)


def text_table(columns: Mapping[str, Sequence[str | None]]) -> pa.Table:
    """A table of texts, for a frame that PostgreSQL parses."""
    return pa.table([pa.array(values, pa.large_string()) for values in columns.values()], names=list(columns))


def dump_json(value: Any) -> str:
    """A value as JSON, its decimals digit for digit.

    NaN and infinities stay what they are, which is no JSON: PostgreSQL refuses them, and nobody takes them for null.
    """
    return simplejson.dumps(
        value, use_decimal=True, allow_nan=True, ensure_ascii=False, separators=(",", ":"), default=_text_in_json
    )


def _text_in_json(value: Any) -> str:
    """What JSON has no form for: times as ISO 8601 has them, all else as Python does."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def text_of(value: Any, kind: PostgresType, *, base64: bool = False) -> str | None:
    """A JSON value as the text that PostgreSQL reads as `kind`."""
    if value is None:
        return None
    if kind.name == "jsonb":
        return dump_json(value)
    if isinstance(value, str):
        return "\\x" + _decode(value) if base64 and kind.name == "bytea" else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal) and kind.name in ("smallint", "integer", "bigint") and _is_whole(value):
        return str(int(value))
    if isinstance(value, dict | list):
        return dump_json(value)
    return str(value)


def _is_whole(value: Decimal) -> bool:
    """Whether it is a whole number that a `bigint` might hold: to write out 1e999999999 would take for ever."""
    return value.adjusted() < 20 and value == value.to_integral()


def _decode(value: str) -> str:
    import base64

    return base64.b64decode(value, validate=True).hex()


def loads(text: str) -> Any:
    """JSON with exact decimals."""
    return json.loads(text, parse_float=Decimal)
