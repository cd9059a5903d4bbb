"""The statements sent to both servers: the same shape, each side in its own SQL."""

# ruff: noqa: S608 - building SQL is what this module is for: names are quoted, literals are numbers, dates or escaped

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

from paralelo.verify.columns import Column, TablePair
from paralelo.verify.measures import ROW, bracket, measures_of, number_of, parts, quote, row_number
from paralelo.verify.segments import TableSegment, source_literal, target_literal
from paralelo.verify.sides import Measured, Value

Side = Literal["source", "target"]

_BUCKET = "paralelo_bucket"
_SENT_AS_TEXT = frozenset({"text", "varchar", "bpchar", "json", "name"})
"""Types of PostgreSQL's that are sent as the text they are; others are cast to text."""


def measured(
    side: Side, segment: TableSegment, cuts: Sequence[int], since: str | None, ask: Callable[[str], Iterable[Any]]
) -> Measured:
    """Every measure of each bucket between the cuts that has rows, by one statement, or several where it is wide."""
    found: dict[int, tuple[Value, ...]] = {}
    width = 0
    for part in parts(segment.table):
        answers = ask(measure(side, replace(segment, table=part), cuts, since))
        told = {int(bucket): tuple(values) for bucket, *values in answers}
        count = len(measures_of(part))
        for bucket in found.keys() | told.keys():  # rows may come and go between two statements
            found[bucket] = found.get(bucket, (None,) * width) + told.get(bucket, (None,) * count)
        width += count
    return found


def measure(side: Side, segment: TableSegment, cuts: Sequence[int], since: str | None) -> str:
    """One row for each bucket between the cuts that has rows: the bucket's number, then every measure."""
    table = segment.table
    chosen = ", ".join(f"{getattr(measure, side)} AS m{place}" for place, measure in enumerate(measures_of(table)))
    number = row_number(table)[0 if side == "source" else 1]
    # A star would leave out the hidden columns of temporal and ledger tables, and sparse ones beside a column set.
    listed = ", ".join(_name(side, column) for column in table.columns)
    inner = f"SELECT {listed}, {_bucket(side, table, cuts)} AS {_BUCKET}, {number} AS {ROW} FROM {name(side, table)} t"
    return f"SELECT {_BUCKET}, {chosen} FROM ({inner}{_where(side, segment, since)}) q GROUP BY {_BUCKET}"


def bounds(side: Side, table: TablePair, *, counted: bool, segment: TableSegment | None = None) -> str:
    """How many rows there are, and the lowest and highest place on the axis (NULL where there is none, or not asked).

    In the whole table, or in a segment of it.

    The least and the most are of the column itself: an index has them at its ends. For those of an expression, as for
    the count, all of it would have to be read.
    """
    if table.axis is None and not counted:
        # Without an aggregate there would be a row of nothing for each of the table's, or none.
        return "SELECT NULL, NULL, NULL"
    ends = "NULL, NULL"
    if table.axis is not None:
        number, column = getattr(number_of(table.axis), side), _name(side, table.axis)
        ends = ", ".join(number.replace(column, f"{end}({column})") for end in ("MIN", "MAX"))
    count = "NULL" if not counted else "COUNT_BIG(*)" if side == "source" else "count(*)"
    where = _where(side, segment, None) if segment is not None else ""
    return f"SELECT {count}, {ends} FROM {name(side, table)}{where}"


def holds_null(side: Side, table: TablePair, column: Column) -> str:
    """One row where any row of the table has NULL in the column."""
    condition = f"{name(side, table)} WHERE {_name(side, column)} IS NULL"
    return f"SELECT TOP (1) 1 FROM {condition}" if side == "source" else f"SELECT 1 FROM {condition} LIMIT 1"


def rows(side: Side, segment: TableSegment, since: str | None, *, ordered: bool) -> str:
    """Every column of the segment's rows: on the source as the tap selects them, on the target by COPY BINARY."""
    table = segment.table
    order = f" ORDER BY {', '.join(_name(side, column) for column in table.key)}" if ordered else ""
    query = f"SELECT {_list(side, table)} FROM {name(side, table)}{_where(side, segment, since)}{order}"
    return query if side == "source" else _copy(query)


def rows_that(side: Side, table: TablePair, condition: str) -> str:
    """The rows that meet a condition (see keys.py)."""
    query = f"SELECT {_list(side, table)} FROM {name(side, table)} WHERE {condition}"
    return query if side == "source" else _copy(query)


def name(side: Side, table: TablePair) -> str:
    """The table's quoted name."""
    if side == "source":
        return f"{bracket(table.source_schema)}.{bracket(table.source_table)}"
    return f"{quote(table.target_schema)}.{quote(table.target_table)}"


def _copy(query: str) -> str:
    return f"COPY ({query}) TO STDOUT (FORMAT BINARY)"


def _name(side: Side, column: Column) -> str:
    return bracket(column.source) if side == "source" else quote(column.target)


def _list(side: Side, table: TablePair) -> str:
    if side == "source":
        return ", ".join(f"{column.expression} AS {bracket(column.source)}" for column in table.columns)
    return ", ".join(_sent(column) for column in table.columns)


def _sent(column: Column) -> str:
    cast = column.stored_family == "text" and column.stored not in _SENT_AS_TEXT
    return f"{quote(column.target)}::text" if cast else quote(column.target)


def _literal(side: Side, column: Column, at: int) -> str:
    return source_literal(column, at) if side == "source" else target_literal(column, at)


def _bucket(side: Side, table: TablePair, cuts: Sequence[int]) -> str:
    """A row's bucket, by comparisons only: subtracting keys could overflow."""
    axis = table.axis
    if axis is None or not cuts:
        return "0"
    place = _name(side, axis)
    cases = " ".join(f"WHEN {place} < {_literal(side, axis, cut)} THEN {number}" for number, cut in enumerate(cuts))
    return f"CASE {cases} ELSE {len(cuts)} END"


def _where(side: Side, segment: TableSegment, since: str | None) -> str:
    axis, cursor, conditions = segment.table.axis, segment.table.cursor, []
    if axis is not None and segment.range.lower is not None:
        conditions.append(f"{_name(side, axis)} >= {_literal(side, axis, segment.range.lower)}")
    if axis is not None and segment.range.upper is not None:
        conditions.append(f"{_name(side, axis)} < {_literal(side, axis, segment.range.upper)}")
    if since is not None and cursor is not None:
        conditions.append(f"{_name(side, cursor)} >= {_since(side, cursor, since)}")
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _since(side: Side, cursor: Column, since: str) -> str:
    """The moment in the column's exact type; `datetime` and `smalldatetime` refuse a text of more than three digits."""
    if side == "target":
        return f"CAST('{since}' AS {cursor.stored})"
    if cursor.declared in ("datetime", "smalldatetime"):
        return f"CAST(CAST('{since}' AS datetime2(7)) AS {cursor.declared})"
    return f"CAST('{since}' AS {cursor.declared})"
