"""What PostgreSQL would change in silence as it reads a value: cut and counted here, or the row is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal, InvalidOperation

import pyarrow as pa
import pyarrow.compute as pc

from target_postgres import nul
from target_postgres.encode import Frame
from target_postgres.nul import Cleaned
from target_postgres.postgres_types import PostgresType
from target_postgres.settings import LoadRules

_TIMES = ("time without time zone", "timestamp without time zone", "timestamp with time zone")
_FURTHER_DIGITS = r"(\.\d{6})\d+"
_DIGITS_LOST = r"\.\d{6}\d*[1-9]"
_TIME_ALONE = r"^\s*[tT]?[0-9:.]+\s*([aApP][mM])?\s*$"
_OFFSET = r":[0-9.]+\s*([zZ]|[+-]\d)"
_BY_THE_CLOCK = r"(?i)\b(now|today|tomorrow|yesterday)\b"
_TIME_OF_DAY = r"\d:\d"
_MIDNIGHT = r"[T ]00:00(:00(\.0*)?)?\s*(Z|[+-]00(:?00)?)?\s*$"


def clean(frame: Frame, rules: LoadRules, *, by_bytes: bool = False) -> Cleaned:
    """Apply the rules: for NUL characters, for digits below the microsecond, for what a column's type has no room for.

    Binary values have their column's type already, but for the length of texts, which is in bytes where `by_bytes`.
    """
    cleaned = nul.clean(frame, rules)
    frame, refused = cleaned.frame, dict(cleaned.refused)
    for position, (name, kind) in enumerate(frame.types.items()):
        if not frame.binary and kind.name in _TIMES:
            frame = _cut(frame, position)
        for why, rows in _misfits(frame.data.column(position), kind, frame.binary, by_bytes):
            refused.update({row: f"{why} (column {name})" for row in rows if row not in refused})
    return Cleaned(frame, cleaned.replaced, refused)


def beyond_scale(frame: Frame) -> dict[int, str]:
    """The rows with a number that PostgreSQL would round to the scale of its column, each with its reason."""
    found: dict[int, str] = {}
    for position, (name, kind) in enumerate(frame.types.items()):
        if kind.name != "numeric" or kind.second is None:
            continue
        why = f"more digits after the point than {kind} has (column {name})"
        rows = _rounded(frame.data.column(position), kind.second)
        found.update({row: why for row in rows if row not in found})
    return found


def _rounded(column: pa.ChunkedArray, scale: int) -> list[int]:
    if pa.types.is_decimal(column.type):
        if column.type.scale <= scale:
            return []
        cut = column.cast(pa.decimal128(column.type.precision, scale), safe=False)
        return _rows(pc.not_equal(column, cut.cast(column.type)))
    # One with an exponent has to be looked at.
    doubtful = _rows(pc.match_substring_regex(column, rf"\.\d{{{scale}}}\d*[1-9]|[eE]"))
    return [row for row in doubtful if _is_rounded(column[row].as_py(), scale)]


def _is_rounded(text: str, scale: int) -> bool:
    try:
        _, digits, exponent = Decimal(text).as_tuple()
    except InvalidOperation:
        return False  # PostgreSQL refuses it, or reads it as a whole number
    return isinstance(exponent, int) and exponent < -scale and any(digits[exponent + scale :])


def _cut(frame: Frame, position: int) -> Frame:
    """PostgreSQL would round, up to the next day."""
    column = frame.data.column(position)
    lost = _count(pc.match_substring_regex(column, _DIGITS_LOST))
    if not lost:
        return frame
    cut = pc.replace_substring_regex(column, _FURTHER_DIGITS, r"\1")
    return replace(
        frame,
        data=frame.data.set_column(position, frame.data.schema.field(position), cut),
        truncated=frame.truncated + lost,
    )


def _misfits(
    column: pa.ChunkedArray, kind: PostgresType, binary: bool, by_bytes: bool
) -> Iterator[tuple[str, list[int]]]:
    """The rows whose value the type would take only a part of, or take for another, and what to say of them."""
    if kind.name == "character varying" and kind.first is not None and not pa.types.is_null(column.type):
        # Their lengths in bytes cost next to nothing, and are mostly enough. Spaces beyond the type's length would go.
        if (pc.max(pc.binary_length(column)).as_py() or 0) > kind.first:
            yield (
                f"value too long for type {kind}",
                _rows(pc.greater(pc.binary_length(column) if by_bytes else pc.utf8_length(column), kind.first)),
            )
        return
    if binary or kind.name not in ("date", *_TIMES):
        return
    yield "a word for a time that the clock tells", _rows(pc.match_substring_regex(column, _BY_THE_CLOCK))
    if kind.name == "time without time zone":
        yield "a time with an offset or a date", _rows(pc.invert(pc.match_substring_regex(column, _TIME_ALONE)))
    if kind.name == "timestamp without time zone":
        yield "a time with an offset", _rows(pc.match_substring_regex(column, _OFFSET))
    if kind.name == "date":
        timed = pc.match_substring_regex(column, _TIME_OF_DAY)
        if _count(timed):
            at_midnight = pc.match_substring_regex(column, _MIDNIGHT)
            yield "a date with a time of day", _rows(pc.and_not(timed, at_midnight))


def _rows(mask: pa.ChunkedArray) -> list[int]:
    return list(pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist())


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)
