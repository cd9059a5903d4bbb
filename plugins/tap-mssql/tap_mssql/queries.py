"""Every SELECT on a table's rows, built in one place.

Names are bracket-quoted; values are bound by `?`, cast to the column's exact type. What lies beyond a value of several
columns is read by one statement after another: `a = ? AND b < ?`, then `a < ?`. SQL Server seeks to the first row of
each. In one statement it would seek on the first column only, and read again, for every page, all rows that share it.
A long expression is given a name: some servers call it by its own text, which may be longer than TDS can tell.
"""

# ruff: noqa: S608 - building SQL is what this module is for; names are quoted and values bound

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sync_rules.batch_info import Key, KeyValue

from tap_mssql.sql_types import SqlColumn, bound, exact_text, quote

Statement = tuple[str, list[KeyValue]]
Condition = tuple[str, list[KeyValue]]


@dataclass(frozen=True)
class TableQueries:
    """The statements on one table.

    `columns` are read in this order, then `extras`: expressions that are no columns of the table (exact key texts,
    counts of losses) and that the reader takes off again. `as_stored` names those that pages bring in their code page.
    """

    table: str
    columns: tuple[SqlColumn, ...]
    key: tuple[SqlColumn, ...]
    cursor: SqlColumn | None
    losses: tuple[str, ...]
    database_collation: str | None
    as_stored: frozenset[str] = frozenset()

    def key_texts(self) -> list[str | None]:
        """For each key column, the expression of its exact text, or None where the Arrow value gives it."""
        return [exact_text(column) for column in self.key]

    def below(self, upper: Key | None, below: Key | None) -> list[Condition]:
        """The range of a full sync, one condition after another in descending key order. `below` implies `upper`."""
        if below is not None:
            return self._beyond(self.key, below, "<", inclusive=False)
        return self._beyond(self.key, upper, "<", inclusive=True) if upper is not None else [("", [])]

    def page(self, rows: int, condition: Condition) -> Statement:
        """The highest `rows` rows under the condition, in descending key order."""
        return self._top(rows, condition, self._list([text for text in self.key_texts() if text]))

    def span(self, top: int, at_least: int | None) -> Condition:
        """A number key of at most `top` and, where given, at least the other number."""
        (column,) = self.key
        name, marker = quote(column.name), bound(column, self.database_collation)
        if at_least is None:
            return f"{name} <= {marker}", [top]
        return f"{name} <= {marker} AND {name} >= {marker}", [top, at_least]

    def stored(self, column: str, key: Key) -> Statement:
        """A column of one row, as it is stored."""
        where, values = self._beyond(self.key, key, "=", inclusive=False)[0]
        return f"SELECT {quote(column)} FROM {self.table} WHERE {where}", values

    def whole(self) -> Statement:
        """Every row, in no order."""
        return f"SELECT {replace(self, as_stored=frozenset())._list([])} FROM {self.table}", []

    def window(self, low: KeyValue, high: KeyValue, after: tuple[KeyValue, Key] | None) -> list[Condition]:
        """What is left of an incremental window, one condition after another in ascending (cursor, key) order."""
        cursor = self._cursor()
        name, marker = quote(cursor.name), bound(cursor, self.database_collation)
        low = max(low, EARLIEST.get(cursor.base, "")) if isinstance(low, str) else low
        if after is None:
            return [(f"{name} >= {marker} AND {name} <= {marker}", [low, high])]
        *same, (later, values) = self._beyond((cursor, *self.key), (after[0], *after[1]), ">", inclusive=False)
        return [*same, (f"{later} AND {name} <= {marker}", [*values, high])]

    def cursor_page(self, rows: int, condition: Condition) -> Statement:
        """The lowest rows under the condition, in (cursor, key) order; the last extra is the cursor's text."""
        extras = [*(text for text in self.key_texts() if text), self.cursor_text()]
        return self._top(rows, condition, self._list(extras), by_cursor=True)

    def further(self, condition: Condition, fixed: int, last: Key | None) -> list[Statement]:
        """What answers 1 where a full sync's range has rows below the last key, None for any at all, and else 0.

        `fixed` is how many columns the condition holds to one value each: no row lies below those.
        """
        where, values = condition
        if last is None:
            return [self._any(where, values)]
        below = self._beyond(self.key, last, "<", inclusive=False)
        return [
            self._any(f"{where} AND {more}" if where else more, [*values, *bounds])
            for more, bounds in below[: len(below) - fixed]
        ]

    def cursor_text(self) -> str:
        """The cursor's exact text, or number."""
        cursor = self._cursor()
        exact = exact_text(cursor)
        if exact:
            return exact
        if cursor.base in INTEGERS:
            return f"CAST({quote(cursor.name)} AS bigint)"
        return f"CONVERT(varchar(33), {quote(cursor.name)}, 126)"

    def largest_value(
        self, large: Sequence[SqlColumn], rows: int, condition: Condition, *, by_cursor: bool = False
    ) -> Statement:
        """How many bytes the large columns of one row hold, at most, over the rows of a page."""
        page, values = self._top(rows, condition, f"{_sizes(large)} AS _paralelo_bytes", by_cursor=by_cursor)
        return f"SELECT MAX(v._paralelo_bytes) FROM ({page}) v", values

    def largest_value_of_all(self, large: Sequence[SqlColumn]) -> Statement:
        """The same over the whole table."""
        return f"SELECT MAX({_sizes(large)}) AS _paralelo_bytes FROM {self.table}", []

    def upper_key(self) -> Statement:
        """The highest key: its values, exact texts where the Arrow value would not do."""
        shown = ", ".join(text or column.selected for column, text in zip(self.key, self.key_texts(), strict=True))
        order = ", ".join(f"{quote(column.name)} DESC" for column in self.key)
        return f"SELECT TOP (1) {shown} FROM {self.table} ORDER BY {order}", []

    def lowest_key(self) -> Statement:
        """The lowest value of a key of one column."""
        (name,) = (quote(column.name) for column in self.key)
        return f"SELECT TOP (1) {name} FROM {self.table} ORDER BY {name}", []

    def null_keys(self) -> Statement:
        """How many rows have no key."""
        condition = " OR ".join(f"{quote(column.name)} IS NULL" for column in self.key)
        return f"SELECT COUNT_BIG(*) FROM {self.table} WHERE {condition}", []

    def repeated_keys(self) -> Statement:
        """One row where a key is there twice."""
        names = ", ".join(quote(column.name) for column in self.key)
        return f"SELECT TOP (1) 1 FROM {self.table} GROUP BY {names} HAVING COUNT_BIG(*) > 1", []

    def null_cursors(self) -> Statement:
        """How many rows have no cursor."""
        return f"SELECT COUNT_BIG(*) FROM {self.table} WHERE {quote(self._cursor().name)} IS NULL", []

    def highest_cursor(self) -> Statement:
        """The highest cursor: the clock of a column that counts. Cast after it is found, so that an index finds it."""
        return f"SELECT CAST(MAX({quote(self._cursor().name)}) AS bigint) FROM {self.table}", []

    def newest_cursor(self, now: KeyValue) -> Statement:
        """The highest cursor that is not above the clock."""
        cursor = self._cursor()
        name, marker = quote(cursor.name), bound(cursor, self.database_collation)
        where = f"WHERE {name} <= {marker} ORDER BY {name} DESC"
        return f"SELECT TOP (1) {self.cursor_text()} FROM {self.table} {where}", [now]

    def _any(self, where: str, values: Sequence[KeyValue]) -> Statement:
        some = f"SELECT 1 FROM {self.table}{_where(where)}"
        return f"SELECT CASE WHEN EXISTS ({some}) THEN 1 ELSE 0 END AS _paralelo_more", list(values)

    def _top(self, rows: int, condition: Condition, selected: str, *, by_cursor: bool = False) -> Statement:
        """The first rows under the condition: by descending key, or by ascending cursor and key."""
        where, values = condition
        if by_cursor:
            order = ", ".join(map(self._itself, (self._cursor(), *self._key_without_cursor())))
        else:
            order = ", ".join(f"{self._itself(column)} DESC" for column in self.key)
        return f"SELECT TOP ({rows}) {selected} FROM {self.table}{_where(where)} ORDER BY {order}", values

    def _itself(self, column: SqlColumn) -> str:
        """The column, where its plain name would mean the expression that it is selected by: no index has that."""
        name = quote(column.name)
        return name if column.selected == name else f"{self.table}.{name}"

    def _list(self, extras: Sequence[str]) -> str:
        selected = [
            f"{quote(column.name) if column.name in self.as_stored else column.selected} AS {quote(column.name)}"
            for column in self.columns
        ]
        added = [f"{text} AS {quote(f'_paralelo_{number}')}" for number, text in enumerate([*self.losses, *extras], 1)]
        return ", ".join([*selected, *added])

    def _beyond(
        self, columns: Sequence[SqlColumn], values: Sequence[KeyValue], sign: str, *, inclusive: bool
    ) -> list[Condition]:
        """The columns, taken together, are beyond the values: the rows that share most of them first."""
        names = [quote(column.name) for column in columns]
        markers = [bound(column, self.database_collation) for column in columns]
        found: list[Condition] = []
        for last in reversed(range(len(columns))):
            same = "".join(f"{names[at]} = {markers[at]} AND " for at in range(last))
            or_equal = "=" if inclusive and last == len(columns) - 1 else ""
            found.append((f"{same}{names[last]} {sign}{or_equal} {markers[last]}", list(values[: last + 1])))
        return found

    def _key_without_cursor(self) -> list[SqlColumn]:
        return [column for column in self.key if self.cursor is None or column.name != self.cursor.name]

    def _cursor(self) -> SqlColumn:
        if self.cursor is None:
            raise RuntimeError(f"{self.table} has no cursor column")
        return self.cursor


def _sizes(columns: Sequence[SqlColumn]) -> str:
    """The bytes of several columns' values together: DATALENGTH of an old `text` is an int, and a sum may be more."""
    return " + ".join(f"COALESCE(CAST(DATALENGTH({quote(column.name)}) AS bigint), 0)" for column in columns)


def _where(condition: str) -> str:
    return f" WHERE {condition}" if condition else ""


INTEGERS = {"tinyint": 0, "smallint": -(2**15), "int": -(2**31), "bigint": -(2**63)}
"""The whole-number types, each with its lowest value."""

EARLIEST = {"datetime": "1753-01-01T00:00:00.000", "smalldatetime": "1900-01-01T00:00:00"}
"""The lowest value of the moments that do not begin with year 1: below it a lookback or start date cannot be bound."""
