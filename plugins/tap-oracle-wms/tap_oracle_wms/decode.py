"""A page of JSON to an Arrow record batch.

The fast way lets msgspec check each value's JSON type while it parses: numbers become exact decimals and integers
from their own digits, never by way of a float. A page that does not fit goes the patient way, value by value
(patient.py), which knows what may be bent without loss and refuses the rest.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
import pyarrow as pa
from sync_rules.singer.source import arrow_schema

from tap_oracle_wms.broken_text import mended
from tap_oracle_wms.errors import BadAnswer, Passing
from tap_oracle_wms.fields import Part, WireField
from tap_oracle_wms.patient import Losses, is_storable, number, patient_arrays, raw_text


class Relation(msgspec.Struct, gc=False):
    """What a relation looks like on the wire; its url is left out."""

    id: int | None = None
    key: str | None = None


class Set(msgspec.Struct, gc=False):
    """What a set looks like on the wire: its size; its url is left out."""

    result_count: int


class Head(msgspec.Struct, gc=False):
    """A page without its rows, for counts."""

    results: msgspec.Raw
    result_count: int | None = None
    next_page: Any = None


@dataclass(frozen=True)
class Page:
    """The rows of one answer, its `next_page` as it came, and in `page_mode` paged how many rows the API counts."""

    batch: pa.RecordBatch
    next_page: object
    result_count: int | None = None


_WIRE_TYPES: dict[str, Any] = {
    "pk": int,
    "integer": int | None,
    "text": str | None,
    "decimal": Any,  # a number's digits become a Decimal; a text that msgspec made one of might be 1_000
    "boolean": bool | None,
    "datetime": str | None,
    "date": str | None,
    "time": str | None,
    "relation": Relation | int | None,
    "set": Set | None,
    "unknown": msgspec.Raw,
}
_MOST_DIGITS_OF_A_SECOND = 6


def _wire_type(field: WireField) -> Any:
    """An id is never null, whether `describe` calls it a pk or an integer."""
    return int if field.name == "id" else _WIRE_TYPES[field.kind]


class PageDecoder:
    """Decodes the pages of one entity. Safe to use from many threads."""

    def __init__(self, entity: str, parts: Sequence[Part], losses: Losses) -> None:
        self._entity = entity
        self._parts = tuple(parts)
        self._losses = losses
        self.schema = arrow_schema([part.column for part in parts])
        self._fields: tuple[WireField, ...] = tuple(dict.fromkeys(part.field for part in parts))
        self._place = {field.name: number for number, field in enumerate(self._fields)}
        # Every field is required: one that is missing leads to the patient way, where it is counted.
        names = [f"f{number}" for number in range(len(self._fields))]
        row = msgspec.defstruct(
            "Row",
            [(name, _wire_type(field)) for name, field in zip(names, self._fields, strict=True)],
            rename=dict(zip(names, (field.name for field in self._fields), strict=True)),
            gc=False,
        )
        # `next_page` has to be there, if only as null: its absence must not pass for an end.
        count = ("result_count", int | None, None)
        page = msgspec.defstruct("Page", [("results", list[row]), ("next_page", Any), count])  # type: ignore[valid-type]
        # The interpreter lets one thread work at a time anyway, and a page's values as Python objects take many times
        # what its columns do: those of one page are held, not of one for each thread.
        self._one = threading.Lock()
        self._fast: msgspec.json.Decoder[Any] = msgspec.json.Decoder(page, float_hook=Decimal)
        self._slow = msgspec.json.Decoder(_PatientPage)
        # Fields that every row so far had (None before the first), and those that a page had in none of its rows.
        self._always: set[str] | None = None
        self._lacked: set[str] = set()

    def decode(self, body: bytes | bytearray) -> Page:
        """The page in `body`.

        Raises Passing for half a JSON, BadAnswer for JSON that is no page, DataRefused for a value that its column
        cannot hold.
        """
        with self._one:
            return self._decode(body)

    def _decode(self, body: bytes | bytearray) -> Page:
        try:
            return self._decode_whole(body)
        except RecursionError as error:
            raise BadAnswer(f"{self._entity}: the API answered JSON that is nested too deep to read") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            text, count = mended(body)
            if not count:
                raise Passing("an answer whose JSON is not whole") from error
        try:
            page = self._decode_whole(text)
        except msgspec.DecodeError as error:
            raise Passing("an answer whose JSON is not whole") from error
        self._losses.add("of some text: characters that are no Unicode; U+FFFD stands there", count)
        return page

    def _decode_whole(self, body: bytes | bytearray) -> Page:
        try:
            page = self._fast.decode(body)
            batch = self._batch(page.results)
        except msgspec.ValidationError:
            return self._decode_patiently(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise
        except (ValueError, pa.ArrowTypeError, OverflowError, InvalidOperation):  # ArrowInvalid is a ValueError
            return self._decode_patiently(body)
        if page.results:
            self._check_gone(self._lacked)
            self._always = set(self._place) if self._always is None else self._always
        return Page(batch, page.next_page, page.result_count)

    def _batch(self, rows: Sequence[Any]) -> pa.RecordBatch:
        if not rows:
            return pa.RecordBatch.from_pylist([], self.schema)
        by_field = list(zip(*map(msgspec.structs.astuple, rows), strict=True))
        arrays = [_array(part, by_field[self._place[part.field.name]]) for part in self._parts]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _decode_patiently(self, body: bytes | bytearray) -> Page:
        try:
            page = self._slow.decode(body)
        except msgspec.ValidationError as error:
            raise BadAnswer(f"{self._entity}: the API answered JSON that is no page: {error}") from error
        self._check_fields(page.results)
        arrays = patient_arrays(self._entity, self._parts, page.results, self._losses)
        return Page(pa.RecordBatch.from_arrays(arrays, schema=self.schema), page.next_page, page.result_count)

    def _check_fields(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Raise BadAnswer for a field that every row of one page has and none of another: NULL would be no value of it.

        Pages are read side by side: which of the two is the older one, nobody knows.
        """
        if not rows:
            return
        present = {name for name in self._place if all(name in row for row in rows)}
        lacking = {name for name in self._place if not any(name in row for row in rows)}
        self._check_gone((lacking & self._always if self._always is not None else set()) | (self._lacked & present))
        self._always = present if self._always is None else self._always & present
        self._lacked |= lacking

    def _check_gone(self, names: set[str]) -> None:
        if names:
            raise BadAnswer(
                f"{self._entity}: not all answers have {', '.join(sorted(names))} any more: was the API changed"
                " meanwhile? The next run asks for its fields afresh; where the API leaves out what is null, a larger"
                " page_size helps, or to leave such fields out (setting fields)"
            )


class _PatientPage(msgspec.Struct):
    results: list[dict[str, msgspec.Raw]]
    next_page: Any
    result_count: int | None = None


def field_names(body: bytes | bytearray) -> set[str]:
    """The fields of the first row of a page; none where there is no row, or the page has broken text."""
    try:
        rows = msgspec.json.decode(body, type=_PatientPage).results
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return set()
    return set(rows[0]) if rows else set()


def read_head(entity: str, body: bytes | bytearray) -> Head:
    """A page without its rows. Raises as `PageDecoder.decode`."""
    try:
        return msgspec.json.decode(body, type=Head)
    except (msgspec.ValidationError, RecursionError) as error:
        raise BadAnswer(f"{entity}: the API answered JSON that is no page: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Passing("an answer whose JSON is not whole") from error


def _array(part: Part, values: Sequence[Any]) -> pa.Array:
    kind = part.column.type.arrow
    if part.part == "id":  # a relation that comes bare is its id
        return pa.array([value.id if isinstance(value, Relation) else value for value in values], kind)
    if part.part == "key":
        return pa.array([value.key if isinstance(value, Relation) else None for value in values], kind)
    if part.part == "count":
        return pa.array([None if value is None else value.result_count for value in values], kind)
    if part.field.kind == "unknown":
        return pa.array([raw_text(value) for value in values], kind)
    if part.field.kind in ("datetime", "date"):
        return pa.array(values, pa.string()).cast(kind)
    if part.field.kind == "decimal":
        values = [value if value is None or type(value) in (Decimal, int) else number(value) for value in values]
        if not all(type(value) is not Decimal or is_storable(value) for value in values):
            raise ValueError("a number of too many digits")  # the patient way tells
    if part.field.kind == "time":
        return pa.array([None if value is None else _clock(value) for value in values], kind)
    return pa.array(values, kind)


def _clock(value: str) -> time:
    """Raises ValueError for what is no time of day, or has digits that are lost; Arrow has no cast from text to it."""
    found = time.fromisoformat(value)
    if found.tzinfo is not None or len(value.partition(".")[2]) > _MOST_DIGITS_OF_A_SECOND:
        raise ValueError(value)
    return found
