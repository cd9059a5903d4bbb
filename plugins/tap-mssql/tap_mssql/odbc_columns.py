"""What ODBC Driver 18 wrote into bound columns, as Arrow: whole columns at a time, every value as it was.

For each SQL type: the C type that the driver is asked for, the bytes a value takes, and what makes Arrow's buffers of
them. Layouts are those of the ODBC reference (SQL_DATE_STRUCT, SQL_TIMESTAMP_STRUCT, SQL_NUMERIC_STRUCT, SQLGUID), of
Microsoft's `msodbcsql.h` (SQL_SS_TIME2_STRUCT, SQL_SS_TIMESTAMPOFFSET_STRUCT) and, for money as bytes, of MS-TDS. A
value that has not the length or the form of its layout is an error. The loops over rows are in `native/columns.c`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_int, c_int64, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa

from tap_mssql import native, odbc
from tap_mssql.errors import NotOfCodePage

_NUMERIC_BYTES = 19
"""Of SQL_NUMERIC_STRUCT: precision, scale, sign, and 16 of the size. Money as bytes is shorter."""
_DATE_BYTES, _TIMESTAMP_BYTES, _TIME_BYTES, _OFFSET_BYTES, _GUID_BYTES = 6, 16, 12, 20, 16
_LENGTH_BYTES = 8
_LONGEST = 8_000
"""Bytes, or characters, of a column with a bound. One of `max` is described with another number."""
_TEXT = (odbc.SQL_CHAR, odbc.SQL_VARCHAR)
_WIDE = (odbc.SQL_WCHAR, odbc.SQL_WVARCHAR)
_BINARY = (odbc.SQL_BINARY, odbc.SQL_VARBINARY)
_SLOTS = [c_void_p, c_int64, c_void_p, c_int64]
_FUNCTIONS: dict[str, list[Any]] = {
    "column_validity": [*_SLOTS, c_int, c_void_p, c_void_p],
    "column_pack": [*_SLOTS, c_void_p, c_void_p],
    "column_recoded_size": [c_void_p, c_int64, c_void_p],
    "column_recode": [c_void_p, c_int64, c_void_p, c_void_p, c_void_p],
    "column_wide_offsets": [*_SLOTS, c_void_p],
    "column_wide": [*_SLOTS, c_void_p],
    "column_bits": [*_SLOTS, c_void_p],
    "column_guids": [*_SLOTS, c_void_p],
    "column_dates": [*_SLOTS, c_void_p],
    "column_times": [*_SLOTS, c_void_p],
    "column_timestamps": [*_SLOTS, c_void_p],
    "column_decimals": [*_SLOTS, c_int64, c_void_p],
}


@dataclass(frozen=True)
class Block:
    """The values of one column: `rows` slots of `width` bytes, and the length of each, -1 for NULL.

    `slots` is what the compiled functions are given first: the addresses of both, and their sizes. `validity` is
    Arrow's bitmap, None where no value is missing; `content` the bytes of all values together.
    """

    name: str
    slots: tuple[int, int, int, int]
    validity: pa.Buffer | None
    nulls: int
    content: int

    @property
    def rows(self) -> int:
        """How many values there are."""
        return self.slots[3]

    def array(self, kind: pa.DataType, *buffers: pa.Buffer) -> pa.Array:
        """Arrow's array of these buffers."""
        return pa.Array.from_buffers(kind, self.rows, [self.validity, *buffers], self.nulls)


@dataclass(frozen=True)
class Plan:
    """How a column comes: the C type asked for, the bytes of a slot, whether every value fills it, and the reading."""

    c_type: int
    width: int
    fixed: bool
    read: Callable[[Block], pa.Array]


class BoundColumn:
    """The room for a column's values in blocks of `rows` rows."""

    def __init__(self, column: odbc.Described, plan: Plan, rows: int) -> None:
        self._name = column.name
        self._plan = plan
        self._values = pa.allocate_buffer(rows * plan.width)
        self._lengths = pa.allocate_buffer(rows * _LENGTH_BYTES)
        if plan.fixed:
            # Slots are copied as they are, and in that of a NULL stood what the memory was used for before.
            ctypes.memset(self._values.address, 0, self._values.size)

    def bind(self, statement: odbc.Statement, number: int) -> None:
        """Have the driver write here."""
        statement.bind(number, self._plan.c_type, self._values.address, self._plan.width, self._lengths.address)

    def array(self, rows: int) -> pa.Array:
        """The values of the first rows, copied. Raises NotOfCodePage, or OdbcError for a value of another layout."""
        slots = (self._values.address, self._plan.width, self._lengths.address, rows)
        bitmap, nulls = pa.allocate_buffer((rows + 7) // 8), c_int64()
        content = library().column_validity(*slots, self._plan.fixed, bitmap.address, ctypes.byref(nulls))
        _fits(content, self._name)
        validity = bitmap if nulls.value else None
        return self._plan.read(Block(self._name, slots, validity, nulls.value, content))


@cache
def library() -> ctypes.CDLL:
    """The compiled loops, declared. Raises OSError or AttributeError where they were not, or for another machine."""
    loaded = ctypes.CDLL(str(native.columns()))
    for name, arguments in _FUNCTIONS.items():
        function = getattr(loaded, name)
        function.argtypes, function.restype = arguments, None if name in ("column_recode", "column_wide") else c_int64
    return loaded


def plan(column: odbc.Described, encoding: str | None) -> Plan | None:
    """How the column comes; None for one whose values have no bound, or of a type that is not known here.

    `encoding` is Python's name of a char's or varchar's code page, whose bytes then come as they are stored; without
    it the driver makes UTF-16 of them.
    """
    if column.kind in _NUMBERS:
        c_type, arrow = _NUMBERS[column.kind]
        return Plan(c_type, arrow.bit_width // 8, True, _plain(arrow))
    if column.kind in (odbc.SQL_DECIMAL, odbc.SQL_NUMERIC):
        made = _computed("column_decimals", pa.decimal128(column.size, column.digits), column.digits)
        return Plan(odbc.SQL_C_BINARY, _NUMERIC_BYTES, False, made)
    if column.kind in _LAYOUTS:
        return _LAYOUTS[column.kind]
    if not 0 < column.size <= _LONGEST:
        return None
    if column.kind in _TEXT and encoding:
        return Plan(odbc.SQL_C_BINARY, column.size, False, _text(encoding))
    if column.kind in (*_TEXT, *_WIDE):
        return Plan(odbc.SQL_C_WCHAR, 2 * column.size + 2, False, _wide)
    if column.kind in _BINARY:
        return Plan(odbc.SQL_C_BINARY, column.size, False, _bytes)
    return None


def _fits(found: int, name: str) -> None:
    if found < 0:
        raise odbc.OdbcError("22000", f"{name}: a value has not the form that its column was described with")


def _plain(arrow: pa.DataType) -> Callable[[Block], pa.Array]:
    def read(block: Block) -> pa.Array:
        values, width, _, rows = block.slots
        out = pa.allocate_buffer(rows * width)
        ctypes.memmove(out.address, values, out.size)
        return block.array(arrow, out)

    return read


def _computed(function: str, arrow: pa.DataType, *arguments: int) -> Callable[[Block], pa.Array]:
    def read(block: Block) -> pa.Array:
        out = pa.allocate_buffer((block.rows * arrow.bit_width + 7) // 8)
        _fits(getattr(library(), function)(*block.slots, *arguments, out.address), block.name)
        return block.array(arrow, out)

    return read


def _packed(block: Block) -> tuple[pa.Buffer, pa.Buffer, bool]:
    """Where each value begins and ends, the values one after another, and whether all of it is ASCII."""
    offsets, out = _offsets(block), pa.allocate_buffer(block.content)
    ascii_alone = library().column_pack(*block.slots, offsets.address, out.address)
    return offsets, out, bool(ascii_alone)


def _offsets(block: Block) -> pa.Buffer:
    return pa.allocate_buffer(8 * (block.rows + 1))


def _bytes(block: Block) -> pa.Array:
    offsets, out, _ = _packed(block)
    return block.array(pa.large_binary(), offsets, out)


def _text(encoding: str) -> Callable[[Block], pa.Array]:
    """Text as its server stores it. Below 0x80 every code page of SQL Server's is ASCII."""

    def read(block: Block) -> pa.Array:
        offsets, stored, ascii_alone = _packed(block)
        if ascii_alone:
            return block.array(pa.large_string(), offsets, stored)
        if encoding == "utf-8":
            try:
                return block.array(pa.large_binary(), offsets, stored).cast(pa.large_string())
            except pa.ArrowInvalid as error:
                raise NotOfCodePage(block.name) from error
        table = _utf8_of(encoding)
        size = library().column_recoded_size(stored.address, stored.size, table)
        if size < 0:
            raise NotOfCodePage(block.name)
        text = pa.allocate_buffer(size)
        library().column_recode(stored.address, block.rows, table, offsets.address, text.address)
        return block.array(pa.large_string(), offsets, text)

    return read


@cache
def _utf8_of(encoding: str) -> ctypes.Array[ctypes.c_uint32]:
    """For each byte of a code page its UTF-8, the first byte lowest, and above it how many bytes those are.

    Nothing for a byte that Python's codec, made from Microsoft's published tables, has no character for.
    """
    table = (ctypes.c_uint32 * 256)()
    for byte in range(256):
        try:
            text = bytes([byte]).decode(encoding).encode()
        except UnicodeDecodeError:
            continue
        table[byte] = int.from_bytes(text, "little") | len(text) << 24
    return table


def _wide(block: Block) -> pa.Array:
    """UTF-16 as UTF-8; half a character becomes U+FFFD, for UTF-8 has none."""
    offsets = _offsets(block)
    size = library().column_wide_offsets(*block.slots, offsets.address)
    _fits(size, block.name)
    text = pa.allocate_buffer(size)
    library().column_wide(*block.slots, text.address)
    return block.array(pa.large_string(), offsets, text)


_NUMBERS = {
    odbc.SQL_TINYINT: (odbc.SQL_C_UTINYINT, pa.uint8()),
    odbc.SQL_SMALLINT: (odbc.SQL_C_SSHORT, pa.int16()),
    odbc.SQL_INTEGER: (odbc.SQL_C_SLONG, pa.int32()),
    odbc.SQL_BIGINT: (odbc.SQL_C_SBIGINT, pa.int64()),
    odbc.SQL_REAL: (odbc.SQL_C_FLOAT, pa.float32()),
    odbc.SQL_FLOAT: (odbc.SQL_C_DOUBLE, pa.float64()),
    odbc.SQL_DOUBLE: (odbc.SQL_C_DOUBLE, pa.float64()),
}
_MOMENT = "column_timestamps"
_LAYOUTS = {
    odbc.SQL_BIT: Plan(odbc.SQL_C_BIT, 1, True, _computed("column_bits", pa.bool_())),
    odbc.SQL_GUID: Plan(odbc.SQL_C_GUID, _GUID_BYTES, True, _computed("column_guids", pa.binary(_GUID_BYTES))),
    odbc.SQL_TYPE_DATE: Plan(odbc.SQL_C_BINARY, _DATE_BYTES, True, _computed("column_dates", pa.date32())),
    odbc.SQL_TYPE_TIMESTAMP: Plan(
        odbc.SQL_C_TYPE_TIMESTAMP, _TIMESTAMP_BYTES, True, _computed(_MOMENT, pa.timestamp("us"))
    ),
    odbc.SQL_SS_TIME2: Plan(odbc.SQL_C_SS_TIME2, _TIME_BYTES, True, _computed("column_times", pa.time64("us"))),
    odbc.SQL_SS_TIMESTAMPOFFSET: Plan(
        odbc.SQL_C_SS_TIMESTAMPOFFSET, _OFFSET_BYTES, True, _computed(_MOMENT, pa.timestamp("us", "UTC"))
    ),
}
