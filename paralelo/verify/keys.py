"""Keys as conditions: the rows of a handful of keys, looked up in either database.

A condition may let more through than was asked for (SQL Server compares text without regard to case, and a datetime2(7)
has ten values for each microsecond): whoever asked matches the rows by their canonical keys afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pyarrow as pa

from paralelo.verify.columns import Column, TablePair
from paralelo.verify.measures import bracket, quote
from paralelo.verify.statements import Side

KEYS_PER_LOOKUP = 200


def conditions(side: Side, table: TablePair, keys: pa.Table) -> Iterator[str]:
    """Conditions that together hold for every row with one of the keys, each for so many of them."""
    names = [column.target for column in table.key]
    for start in range(0, keys.num_rows, KEYS_PER_LOOKUP):
        chunk = keys.select(names).slice(start, KEYS_PER_LOOKUP).to_pylist()
        yield " OR ".join(
            "(" + " AND ".join(_equals(side, column, row[column.target]) for column in table.key) + ")" for row in chunk
        )


def _equals(side: Side, column: Column, value: Any) -> str:
    name = bracket(column.source) if side == "source" else quote(column.target)
    if value is None:
        return f"{name} IS NULL"
    kind = column.declared if side == "source" else column.stored
    if kind.startswith("datetime2") or kind == "datetimeoffset(7)":
        exact = "datetime2(7)" if kind.startswith("datetime2") else "datetimeoffset(7)"
        low, high = (f"CAST('{_text(moment)}' AS {exact})" for moment in (value, value + timedelta(microseconds=1)))
        return f"({name} >= {low} AND {name} < {high})"
    if side == "source" and column.family == "text":
        return f"{name} = CAST({_quoted(side, value)} AS {kind})"
    return f"{name} = CAST({_quoted(side, _text(value))} AS {kind})"


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return str(UUID(bytes=value)) if len(value) == 16 else value.hex()
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return str(value)


def _quoted(side: Side, value: str) -> str:
    text = value.replace("'", "''")
    if side == "source":
        return f"N'{text}'"
    # A backslash means itself: every connection sets standard_conforming_strings.
    return f"'{text}'"
