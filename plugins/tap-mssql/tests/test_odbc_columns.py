"""What the driver wrote, as Arrow: each layout against a plain model of it in Python (SPEC V1)."""

from __future__ import annotations

import ctypes
import re
import struct
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tap_mssql import odbc
from tap_mssql.errors import NotOfCodePage
from tap_mssql.odbc import Described, OdbcError
from tap_mssql.odbc_columns import BoundColumn, Plan, plan

RUBBISH = 0xA5
"""What stands where nothing was written: behind a value, and in the slot of a NULL."""
CODE_PAGES = ("ascii", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1256", "cp1257")
LIMITS = {
    odbc.SQL_TINYINT: ("B", 0, 2**8 - 1),
    odbc.SQL_SMALLINT: ("h", -(2**15), 2**15 - 1),
    odbc.SQL_INTEGER: ("i", -(2**31), 2**31 - 1),
    odbc.SQL_BIGINT: ("q", -(2**63), 2**63 - 1),
}


class Driver:
    """Binds as a statement does, and fills what was bound as the driver does."""

    def bind(self, number: int, c_type: int, values: int, width: int, lengths: int) -> None:
        del number, c_type
        self._values, self._width, self._lengths = values, width, lengths

    def fill(self, slots: Sequence[bytes | None], told: Sequence[int] | None = None) -> None:
        """Lengths are those of the values, unless others are told."""
        for row, slot in enumerate(slots):
            room = (slot or b"")[: self._width].ljust(self._width, bytes([RUBBISH]))
            ctypes.memmove(self._values + row * self._width, room, self._width)
            length = -1 if slot is None else len(slot)
            ctypes.c_int64.from_address(self._lengths + 8 * row).value = told[row] if told else length

    def fill_with_nulls(self, rows: int) -> None:
        """As the driver does it: nothing is written but the lengths."""
        ctypes.memset(self._lengths, 0xFF, 8 * rows)


def described(kind: int, size: int = 0, digits: int = 0) -> Described:
    return Described("c", kind, size, digits)


def planned(column: Described, encoding: str | None = None) -> Plan:
    found = plan(column, encoding)
    assert found is not None
    return found


def bound(column: Described, rows: int, encoding: str | None = None) -> tuple[BoundColumn, Driver]:
    made, driver = BoundColumn(column, planned(column, encoding), rows), Driver()
    statement: Any = driver
    made.bind(statement, 1)
    return made, driver


def arrow(column: Described, slots: Sequence[bytes | None], encoding: str | None = None) -> pa.Array:
    """The column of a block that came with less rows than there is room for."""
    made, driver = bound(column, len(slots) + 1, encoding)
    driver.fill(slots)
    found = made.array(len(slots))
    driver.fill([b"\x00" * len(slot or b"") for slot in slots])  # the next block goes where the last one was
    found.validate(full=True)
    assert found.null_count == sum(slot is None for slot in slots)
    return found


def nullable(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Also none, and NULLs alone; more than the eight that share a byte of the bitmap."""
    return st.lists(st.none() | values, max_size=20) | st.lists(st.none(), max_size=9)


def each(make: Callable[[Any], bytes], values: Sequence[Any]) -> list[bytes | None]:
    return [None if value is None else make(value) for value in values]


@pytest.mark.parametrize("kind", LIMITS)
@given(data=st.data())
def test_whole_numbers(kind: int, data: st.DataObject) -> None:
    code, least, most = LIMITS[kind]
    values = data.draw(nullable(st.integers(least, most)))
    assert arrow(described(kind), each(lambda n: struct.pack(code, n), values)).to_pylist() == values


@given(nullable(st.floats(allow_nan=False)), nullable(st.floats(width=32, allow_nan=False)))
def test_floating_numbers(doubles: list[float], singles: list[float]) -> None:
    for kind, code, values in [(odbc.SQL_FLOAT, "d", doubles), (odbc.SQL_REAL, "f", singles)]:
        found = arrow(described(kind), each(lambda n, code=code: struct.pack(code, n), values))  # type: ignore[misc]
        assert list(map(repr, found.to_pylist())) == list(map(repr, values)), "-0.0 is not 0.0"


@given(nullable(st.booleans()))
def test_bits(values: list[bool]) -> None:
    assert arrow(described(odbc.SQL_BIT), each(lambda bit: bytes([bit]), values)).to_pylist() == values


@given(nullable(st.uuids()))
def test_identifiers(values: list[UUID | None]) -> None:
    found = arrow(described(odbc.SQL_GUID), each(lambda value: value.bytes_le, values))
    assert found.to_pylist() == [None if value is None else value.bytes for value in values]


@given(nullable(st.binary(max_size=9)))
def test_bytes(values: list[bytes]) -> None:
    assert arrow(described(odbc.SQL_VARBINARY, 9), values).to_pylist() == values


@given(nullable(st.dates()))
def test_dates(values: list[date]) -> None:
    stored = each(lambda day: struct.pack("<hHH", day.year, day.month, day.day), values)
    assert arrow(described(odbc.SQL_TYPE_DATE), stored).to_pylist() == values


@given(nullable(st.tuples(st.times(), st.integers(0, 9))))
def test_times_are_cut_to_microseconds(values: list[tuple[time, int]]) -> None:
    stored = each(
        lambda v: struct.pack("<HHHxxI", v[0].hour, v[0].minute, v[0].second, v[0].microsecond * 1000 + v[1] * 100),
        values,
    )
    assert arrow(described(odbc.SQL_SS_TIME2), stored).to_pylist() == [value and value[0] for value in values]


def timestamp(moment: datetime, ticks: int) -> bytes:
    clock = (moment.hour, moment.minute, moment.second, moment.microsecond * 1000 + ticks * 100)
    return struct.pack("<hHHHHHI", moment.year, moment.month, moment.day, *clock)


def microseconds(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


@given(nullable(st.tuples(st.datetimes(), st.integers(0, 9))))
def test_moments_are_cut_to_microseconds(values: list[tuple[datetime, int]]) -> None:
    found = arrow(described(odbc.SQL_TYPE_TIMESTAMP), each(lambda v: timestamp(*v), values))
    assert found.type == pa.timestamp("us")
    assert found.cast(pa.int64()).to_pylist() == [value and microseconds(value[0]) for value in values]


@given(nullable(st.tuples(st.datetimes(), st.integers(-14 * 60, 14 * 60))))
def test_moments_with_an_offset_are_their_instant(values: list[tuple[datetime, int]]) -> None:
    def layout(value: tuple[datetime, int]) -> bytes:
        hours, minutes = divmod(abs(value[1]), 60)
        sign = -1 if value[1] < 0 else 1
        return timestamp(value[0], 9) + struct.pack("<hh", sign * hours, sign * minutes)

    found = arrow(described(odbc.SQL_SS_TIMESTAMPOFFSET), each(layout, values))
    assert found.type == pa.timestamp("us", "UTC")
    expected = [value and microseconds(value[0]) - value[1] * 60_000_000 for value in values]
    assert found.cast(pa.int64()).to_pylist() == expected


def numeric(number: int, precision: int, scale: int) -> bytes:
    return struct.pack("<BbB", precision, scale, number >= 0) + abs(number).to_bytes(16, "little")


@given(st.data(), st.integers(1, 38))
def test_decimals(data: st.DataObject, precision: int) -> None:
    scale = data.draw(st.integers(0, precision))
    most = 10**precision - 1
    values = data.draw(nullable(st.integers(-most, most) | st.sampled_from([-most, most])))
    column = described(odbc.SQL_DECIMAL, precision, scale)
    found = arrow(column, each(lambda n: numeric(n, precision, scale), values))
    assert found.type == pa.decimal128(precision, scale)
    assert found.to_pylist() == [None if n is None else exactly(n, scale) for n in values]


def exactly(number: int, scale: int) -> Decimal:
    return Decimal((int(number < 0), tuple(map(int, str(abs(number)))), -scale))


def test_a_zero_with_a_sign_is_zero() -> None:
    stored = struct.pack("<BbB", 5, 2, 0) + bytes(16)
    assert str(arrow(described(odbc.SQL_NUMERIC, 5, 2), [stored])[0]) == "0.00"


@given(nullable(st.integers(-(2**63), 2**63 - 1)), nullable(st.integers(-(2**31), 2**31 - 1)))
def test_money(values: list[int], small: list[int]) -> None:
    """MS-TDS: the upper half comes first."""
    found = arrow(
        described(odbc.SQL_DECIMAL, 19, 4), each(lambda n: struct.pack("<iI", n >> 32, n & 0xFFFFFFFF), values)
    )
    assert found.to_pylist() == [None if n is None else exactly(n, 4) for n in values]
    found = arrow(described(odbc.SQL_DECIMAL, 10, 4), each(lambda n: struct.pack("<i", n), small))
    assert found.to_pylist() == [None if n is None else exactly(n, 4) for n in small]


@given(nullable(st.lists(st.integers(0, 0xFFFF) | st.integers(0xD800, 0xDFFF), max_size=8)))
def test_wide_text_with_halves_of_characters(values: list[list[int]]) -> None:
    stored = each(lambda units: struct.pack(f"<{len(units)}H", *units), values)
    expected = [
        text if text is None else re.sub("[\ud800-\udfff]", "\ufffd", text.decode("utf-16-le", "surrogatepass"))
        for text in stored
    ]
    for kind in (odbc.SQL_WVARCHAR, odbc.SQL_VARCHAR):
        assert arrow(described(kind, 8), stored).to_pylist() == expected


@pytest.mark.parametrize("encoding", [*CODE_PAGES, "utf-8"])
@given(data=st.data())
def test_text_as_it_is_stored(encoding: str, data: st.DataObject) -> None:
    """All that the code page has characters for, or none of it."""
    texts = st.binary(max_size=9) | st.text("aé\x00?€Ж中😀", max_size=9).map(lambda text: encoded(text, encoding))
    stored = data.draw(nullable(texts))
    try:
        expected = [text if text is None else text.decode(encoding) for text in stored]
    except UnicodeDecodeError:
        with pytest.raises(NotOfCodePage) as told:
            arrow(described(odbc.SQL_VARCHAR, 40), stored, encoding)
        assert told.value.column == "c"
    else:
        assert arrow(described(odbc.SQL_CHAR, 40), stored, encoding).to_pylist() == expected


def encoded(text: str, encoding: str) -> bytes:
    return text.encode(encoding, "ignore")


@pytest.mark.parametrize("text", [b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe4\xb8", b"\x80"])
def test_what_is_no_utf8_is_not_taken_for_it(text: bytes) -> None:
    """Half a character, one that is longer than it need be, one beyond the last, one cut short."""
    with pytest.raises(NotOfCodePage):
        arrow(described(odbc.SQL_VARCHAR, 9), [b"\xf4\x8f\xbf\xbf", text], "utf-8")


def test_characters_cut_by_the_end_of_a_text_are_not_made_whole_by_the_next() -> None:
    with pytest.raises(NotOfCodePage):
        arrow(described(odbc.SQL_VARCHAR, 9), [b"\xc3", b"\xa9"], "utf-8")


@pytest.mark.parametrize("encoding", [page for page in CODE_PAGES if page != "ascii"])
def test_every_byte_of_a_code_page(encoding: str) -> None:
    for number in range(256):
        stored = bytes([number])
        try:
            expected = stored.decode(encoding)
        except UnicodeDecodeError:
            with pytest.raises(NotOfCodePage):
                arrow(described(odbc.SQL_CHAR, 1), [stored], encoding)
        else:
            assert arrow(described(odbc.SQL_CHAR, 1), [stored, None], encoding).to_pylist() == [expected, None]


FIXED = [*LIMITS, odbc.SQL_REAL, odbc.SQL_FLOAT, odbc.SQL_BIT, odbc.SQL_GUID]
FIXED += [odbc.SQL_TYPE_DATE, odbc.SQL_TYPE_TIMESTAMP, odbc.SQL_SS_TIME2, odbc.SQL_SS_TIMESTAMPOFFSET]


@pytest.mark.parametrize("kind", FIXED)
@pytest.mark.parametrize("longer", [-1, 1])
def test_a_value_of_another_length_than_its_layout_is_an_error(kind: int, longer: int) -> None:
    width = planned(described(kind)).width
    made, driver = bound(described(kind), 2)
    driver.fill([None, bytes(width)], [-1, width + longer])
    with pytest.raises(OdbcError, match="c: a value has not the form"):
        made.array(2)
    assert made.array(1).to_pylist() == [None], "rows that did not come are not looked at"


@pytest.mark.parametrize("length", [5, 41, 42, -2, -4, 2**62, -(2**63)])
@pytest.mark.parametrize("kind", [odbc.SQL_WVARCHAR, odbc.SQL_VARBINARY, odbc.SQL_DECIMAL])
def test_a_length_that_no_value_has_is_an_error(kind: int, length: int) -> None:
    """-4 is SQL_NO_TOTAL: more than there was room for. Half a unit of UTF-16 is none, and no decimal has 5 bytes."""
    if kind == odbc.SQL_VARBINARY and length == 5:
        return
    made, driver = bound(described(kind, 19, 4), 1)
    driver.fill([bytes(5)], [length])
    with pytest.raises(OdbcError):
        made.array(1)


@pytest.mark.parametrize("stored", [numeric(1, 9, 3), struct.pack("<i", 1), struct.pack("<ii", 1, 1)])
def test_a_decimal_of_another_scale_is_an_error(stored: bytes) -> None:
    with pytest.raises(OdbcError):
        arrow(described(odbc.SQL_DECIMAL, 9, 2), [stored])


@pytest.mark.parametrize("day", [(0, 1, 1), (-1, 1, 1), (2024, 0, 1), (2024, 13, 1), (2024, 1, 0), (2024, 1, 32)])
def test_what_is_no_date_is_an_error(day: tuple[int, int, int]) -> None:
    stored = struct.pack("<hHH", *day)
    for kind, rest in [(odbc.SQL_TYPE_DATE, 0), (odbc.SQL_TYPE_TIMESTAMP, 10), (odbc.SQL_SS_TIMESTAMPOFFSET, 14)]:
        with pytest.raises(OdbcError):
            arrow(described(kind), [stored + bytes(rest)])


@pytest.mark.parametrize(
    ("kind", "encoding", "width"),
    [
        (odbc.SQL_VARCHAR, "cp1252", 8_000),
        (odbc.SQL_VARCHAR, None, 16_002),
        (odbc.SQL_WVARCHAR, None, 16_002),
        (odbc.SQL_WVARCHAR, "cp1252", 16_002),
        (odbc.SQL_VARBINARY, None, 8_000),
    ],
)
def test_values_without_a_bound_have_no_slots(kind: int, encoding: str | None, width: int) -> None:
    assert planned(described(kind, 8_000), encoding).width == width
    assert plan(described(kind, 0), encoding) is None
    assert plan(described(kind, 8_001), encoding) is None


@pytest.mark.parametrize("kind", [odbc.SQL_LONGVARCHAR, odbc.SQL_WLONGVARCHAR, odbc.SQL_LONGVARBINARY, odbc.SQL_SS_UDT])
def test_types_that_are_not_known_here_are_left_to_others(kind: int) -> None:
    assert plan(described(kind, 10), "cp1252") is None


def test_a_missing_number_tells_nothing_of_the_memory() -> None:
    """It is copied with the others into a file."""
    rows = 100_000
    for _ in range(9):
        rubbish = pa.allocate_buffer(8 * rows)
        ctypes.memset(rubbish.address, RUBBISH, 8 * rows)
        del rubbish
        made, driver = bound(described(odbc.SQL_BIGINT), rows)
        driver.fill_with_nulls(rows)
        assert bytes(made.array(rows).buffers()[1]) == bytes(8 * rows)
