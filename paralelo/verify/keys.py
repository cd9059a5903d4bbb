"""Keys as conditions: the rows of a handful of keys, looked up in either database.

A condition may let more through than was asked for (SQL Server compares text without regard to case, and a datetime2(7)
has ten values for each microsecond): whoever asked matches the rows by their canonical keys afterwards. It never lets
less through, but for one kind of key: a text from which the target took NUL characters (see `certain`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from paralelo.verify.columns import Column, TablePair
from paralelo.verify.comparison import Mask
from paralelo.verify.measures import bracket, quote
from paralelo.verify.statements import Side

KEYS_PER_LOOKUP = 200

_NOWHERE = object()
"""A date or a time that no source holds: infinite, or outside the years 1 to 9999."""
_MICROSECOND = timedelta(microseconds=1)
_EQUAL = {"source": "=", "target": "OPERATOR(pg_catalog.=)"}
"""A delete looks for names as the role does, whose `search_path` may have another `=`, and other types."""


def conditions(side: Side, table: TablePair, keys: pa.Table, nul: str | None = None) -> Iterator[str]:
    """Conditions that together hold for every row with one of the keys, each for so many of them.

    `nul` is what the target writes for a NUL character: where a key has it, the source may have either.
    """
    for start in range(0, keys.num_rows, KEYS_PER_LOOKUP):
        chunk = [_values(keys.column(column.target).slice(start, KEYS_PER_LOOKUP)) for column in table.key]
        yield " OR ".join(
            "(" + " AND ".join(_equals(side, *pair, nul) for pair in zip(table.key, row, strict=True)) + ")"
            for row in zip(*chunk, strict=True)
        )


def certain(table: TablePair, keys: pa.Table, nul: str | None) -> Mask:
    """For which of the keys a row that is not found at the source is not there.

    A float has no text that every server reads back alike. Where the target took NUL characters away, or put something
    in their place, the source's own spelling can only be guessed.
    """
    sure: Mask = np.ones(keys.num_rows, dtype=np.bool_)
    for column in table.key:
        if column.family == "float" or (column.family == "text" and nul == ""):
            sure[:] = False
        elif column.family == "text" and nul is not None:
            values = keys.column(column.target)
            sure &= ~pc.fill_null(pc.match_substring(values, nul), False).to_numpy()
    return sure


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Python's values; PostgreSQL's dates go further than Python's."""
    values = []
    for value in column:
        try:
            values.append(value.as_py())
        except (OverflowError, ValueError):
            values.append(_NOWHERE)
    return values


def _equals(side: Side, column: Column, value: Any, nul: str | None) -> str:
    name = bracket(column.source) if side == "source" else quote(column.target)
    if value is None:
        return f"{name} IS NULL"
    if value is _NOWHERE:
        return "1 = 0" if side == "source" else _beyond(name, column)
    if isinstance(value, bytes):
        return f"{name} {_EQUAL[side]} {_bytes(side, column, value)}"
    if side == "target":
        return f"{name} {_EQUAL[side]} CAST({_literal(value)} AS pg_catalog.{column.stored})"
    kind = column.declared
    if kind.startswith("datetime2") or kind in ("datetimeoffset(7)", "time(7)"):
        return _within(name, value, "datetime2(7)" if kind.startswith("datetime2") else kind)
    if kind in ("datetime", "smalldatetime"):
        # They refuse a text of more than three digits.
        return f"{name} = CAST('{value.isoformat(timespec='milliseconds')}' AS {kind})"
    if column.family != "text":
        return f"{name} = CAST({_national(value)} AS {kind})"
    spelled = [_national(value)]
    if nul and nul in value:
        spelled.append(" + NCHAR(0) + ".join(_national(part) for part in value.split(nul)))
    if value.isascii():  # in the column's own type an index finds it; the cast goes by the database's code page
        spelled = [f"CAST({one} AS {kind})" for one in spelled]
    same = " OR ".join(f"{name} = {one}" for one in spelled)
    return same if len(spelled) == 1 else f"({same})"


def _bytes(side: Side, column: Column, value: bytes) -> str:
    """By the column's family: a byte string of 16 is no identifier."""
    if column.family == "uuid":
        return f"CAST('{UUID(bytes=value)}' AS {'uniqueidentifier' if side == 'source' else 'pg_catalog.uuid'})"
    return (
        f"CAST(0x{value.hex()} AS {column.declared})"
        if side == "source"
        else f"CAST('\\x{value.hex()}' AS pg_catalog.bytea)"
    )


def _within(name: str, value: datetime | time, exact: str) -> str:
    """The seven digits at the source that the target's six were cut from."""
    lower = f"{name} >= CAST('{value.isoformat()}' AS {exact})"
    day = value if isinstance(value, datetime) else datetime.combine(date(2000, 1, 1), value)
    try:
        following = day + _MICROSECOND
    except OverflowError:
        return lower
    if isinstance(value, time):
        if following.date() != day.date():
            return lower
        return f"({lower} AND {name} < CAST('{following.time().isoformat()}' AS {exact}))"
    return f"({lower} AND {name} < CAST('{following.isoformat()}' AS {exact}))"


def _beyond(name: str, column: Column) -> str:
    """The target's dates and times that Python has none for."""
    first, last = (f"CAST('{day}' AS {column.stored})" for day in ("0001-01-01", "9999-12-31"))
    return f"({name} < {first} OR {name} > {last})"


def _literal(value: Any) -> str:
    """The value as text in quotes. A backslash means itself: every connection sets standard_conforming_strings."""
    text = str(value.isoformat() if hasattr(value, "isoformat") else value)
    if isinstance(value, Decimal):
        text = f"{value:f}"  # SQL Server takes no exponent for a decimal
    return "'" + text.replace("'", "''") + "'"


def _national(value: Any) -> str:
    """The value as SQL Server's nvarchar. A backslash would swallow a line's end after it: they are written apart."""
    return "N" + re.sub(r"\\(?=\r?\n)", r"\\' + N'", _literal(value))
