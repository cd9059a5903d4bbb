"""The patient way: values that do not look as `describe` promised, one by one.

What can be told without loss is told: a number in text, text in a number. What cannot is refused, with the name of
the column and never its value. Three things are let pass and counted: a field the answer does not have, empty text
where a number or a date belongs (both NULL), and digits of the second beyond the sixth.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
import pyarrow as pa
from sync_rules.exits import DataRefused
from sync_rules.singer.source import Loss

from tap_oracle_wms.fields import Part

_MIDNIGHT = re.compile(r"00:00(:00(\.0+)?)?([+-]\d\d:?\d\d)?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_MOST_DIGITS = 100
"""More than any column holds, on either side of the point."""
_DIGITS = re.compile(r"(\.\d{6})(\d+)")


class Losses:
    """Counts of what was let pass, over all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, what: str, values: int = 1) -> None:
        """So many values more."""
        with self._lock:
            self._counts[what] += values

    def seen(self) -> list[Loss]:
        """So far."""
        with self._lock:
            return [Loss(values, what) for what, values in sorted(self._counts.items())]


class _Unfit(Exception):
    """A value its column cannot hold."""


def patient_arrays(
    entity: str, parts: Sequence[Part], rows: Sequence[Mapping[str, msgspec.Raw]], losses: Losses
) -> list[pa.Array]:
    """One array for each part. Raises DataRefused for a value that cannot be told without loss."""
    arrays = []
    for part in parts:
        try:
            values = [_value(part, row.get(part.field.name), losses) for row in rows]
            arrays.append(pa.array(values, part.column.type.arrow))
        except (_Unfit, pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise DataRefused(
                f"{entity}.{part.column.name}: the API answered a value that is no {part.column.type} (declared"
                f" {part.field.declared}); {_advice(entity, part)}"
            ) from error
    return arrays


def _advice(entity: str, part: Part) -> str:
    if part.field.name == "id":
        return "rows are known by their id: the API has to answer a whole number, and never null"
    wider = f"say a wider type in the setting types: {{{entity}: {{{part.field.name}: text}}}}"
    if part.field.kind == "datetime":
        return f"a time has to have an offset; where it can have none, {wider} (it is then no cursor any more)"
    return wider


def number(value: Any) -> Decimal:
    """A number, or the text of one. Raises ValueError for what is none, such as 1_000, which Python would take too."""
    text = value.strip() if isinstance(value, str) else value
    is_one = _NUMBER.fullmatch(text) is not None if isinstance(text, str) else type(text) in (int, Decimal)
    if not is_one:
        raise ValueError("no number")
    try:
        return Decimal(text)
    except InvalidOperation as error:  # an exponent of twenty digits
        raise ValueError("a number out of reach") from error


def is_storable(number: Decimal) -> bool:
    """Whether its exponent is in reason. 1e-999999999, a few bytes of JSON, brings Arrow down; 1e999999999 as an
    integer takes all memory."""
    return number.is_finite() and -_MOST_DIGITS <= number.adjusted() <= _MOST_DIGITS


def raw_text(value: msgspec.Raw) -> str | None:
    """Any JSON as text: a string as it is, the rest as it was written."""
    written = bytes(value)
    if written == b"null":
        return None
    if written.startswith(b'"'):
        return str(msgspec.json.decode(written))
    return written.decode()


def _parsed(raw: msgspec.Raw) -> Any:
    """The JSON value; a number as a Decimal, which keeps how it was written."""
    written = bytes(raw)
    if written[:1] in b"-0123456789":
        return _decimal(written.decode())
    return msgspec.json.decode(written)


def _value(part: Part, raw: msgspec.Raw | None, losses: Losses) -> Any:
    if raw is None:
        losses.add(f"of {part.column.name}: the answer did not have the field; NULL stands there")
    elif part.field.kind in ("text", "unknown"):
        return raw_text(raw)
    value = None if raw is None else _parsed(raw)
    if part.field.name == "id" and value is None:
        raise _Unfit
    if raw is None or value is None:
        return None
    if part.part != "value":
        return _of_reference(part, raw)
    kind = part.field.kind
    if isinstance(value, str) and not value.strip():
        losses.add(f"of {part.column.name}: empty text where a {part.column.type} belongs; NULL stands there")
        return None
    if kind in ("pk", "integer"):
        return _integer(value)
    if kind == "decimal":
        return _decimal(value)
    if kind == "boolean":
        if isinstance(value, bool):
            return value
        raise _Unfit
    return _moment(part, value, losses)


def _of_reference(part: Part, raw: msgspec.Raw) -> Any:
    """A relation's id or key, a set's size. A relation that comes bare is its id."""
    name = {"id": "id", "key": "key", "count": "result_count"}[part.part]
    inner: msgspec.Raw | None
    if bytes(raw).startswith(b"{"):
        inner = msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).get(name)
    else:
        inner = None if part.part == "key" else raw
    if inner is None:
        return None
    if part.part == "key":
        return raw_text(inner)
    value = _parsed(inner)
    return None if value is None else _integer(value)


def _integer(value: Any) -> int:
    number = _decimal(value)
    if number != number.to_integral_value():
        raise _Unfit
    return int(number)


def _decimal(value: Any) -> Decimal:
    try:
        found = number(value)
    except ValueError as error:
        raise _Unfit from error
    if not is_storable(found):
        raise _Unfit
    return found


def _moment(part: Part, value: Any, losses: Losses) -> datetime | date | time:
    if not isinstance(value, str):
        raise _Unfit
    text = value.strip().replace("Z", "+00:00").replace(" ", "T")
    cut = _DIGITS.search(text)
    if cut is not None:
        if cut.group(2).strip("0"):
            losses.add(f"of {part.column.name}: digits of the second beyond the sixth")
        text = _DIGITS.sub(r"\1", text)
    try:
        if part.field.kind == "date":
            return _date(text)
        if part.field.kind == "time":
            clock = time.fromisoformat(_six_digits(text))
            if clock.tzinfo is not None:  # its day is not known, so its offset says nothing
                raise _Unfit
            return clock
        moment = datetime.fromisoformat(_six_digits(text))
    except ValueError as error:
        raise _Unfit from error
    if moment.tzinfo is None:  # nobody can tell which facility's zone it is in
        raise _Unfit
    return moment  # Arrow brings it to UTC, beyond the years that Python has too


def _date(text: str) -> date:
    """A date, also one that comes as the midnight it begins with."""
    day, mark, rest = text.partition("T")
    if mark and not _MIDNIGHT.fullmatch(rest):
        raise ValueError(text)
    return date.fromisoformat(day)


def _six_digits(text: str) -> str:
    """Python 3.10 reads three or six digits of the second, and no others."""
    match = re.search(r"\.(\d{1,6})", text)
    return text if match is None else text.replace(match.group(0), "." + match.group(1).ljust(6, "0"), 1)
