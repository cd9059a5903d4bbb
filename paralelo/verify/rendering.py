"""Values as text, and as masks that say no more than their kind and size."""

from __future__ import annotations

from decimal import Context
from typing import Any
from uuid import UUID

import pyarrow as pa

from paralelo.verify.columns import Column
from paralelo.verify.numerics import UNREPRESENTABLE
from paralelo.view import counted

_LONGEST = 200
_MORE = "… "
_EXACT = Context(prec=80)
_KINDS = {
    "boolean": "yes or no",
    "integer": "number",
    "decimal": "number",
    "float": "number",
    "date": "date",
    "time": "time",
    "timestamp": "time",
    "instant": "time",
    "uuid": "identifier",
}
_OPEN_KEYS = frozenset({"integer", "date", "timestamp", "instant", "uuid", "boolean"})
"""Families whose key values are shown: without them a row could not be found. Texts and decimals stay masked: a CPF or
an account number may be a key."""


def text_of(array: Any, row: int) -> str | None:
    """The value as people read it; None for NULL. Values beyond what Python's types hold are told in words."""
    value = array[row]
    if not value.is_valid:
        return None
    if pa.types.is_decimal(array.type):
        return _decimal_text(value)
    if pa.types.is_fixed_size_binary(array.type):
        return str(UUID(bytes=value.as_py()))
    if pa.types.is_large_binary(array.type):
        return _cut("0x" + value.as_py().hex().upper())
    try:
        shown = value.as_py()
    except (OverflowError, ValueError):
        return "a date outside the years 1 to 9999"
    if pa.types.is_floating(array.type):
        return repr(shown)
    if hasattr(shown, "isoformat"):
        return str(shown.isoformat(" ") if hasattr(shown, "hour") and hasattr(shown, "year") else shown.isoformat())
    return _cut(str(shown))


def masked(column: Column, text: str | None) -> str | None:
    """What may be shown of a value without showing it: NULL, its emptiness, its kind, a text's length."""
    if text is None:
        return None
    if column.family in ("text", "binary"):
        if len(text) > _LONGEST:  # cut: its own length stands at the end
            return text[_LONGEST + len(_MORE) :]
        return "(empty)" if not text or text == "0x" else f"({counted(len(text), 'character', 'characters')})"
    return f"({_KINDS[column.family]})"


def shown_key(column: Column, text: str | None) -> str | None:
    """A key's value as a report shows it where values are masked."""
    return text if column.family in _OPEN_KEYS else masked(column, text)


def _decimal_text(value: Any) -> str:
    unscaled = int(value.as_py().scaleb(value.type.scale, _EXACT))
    if unscaled == UNREPRESENTABLE:
        return f"not a number of {value.type}: NaN, infinity or more digits"
    return f"{value.as_py():f}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}{_MORE}({len(text):,} characters)"
