"""The statements of one table, with what makes the driver's answer exact.

The driver takes a column's type from its first value and would turn an integer in a text column into text without a
word. So each statement begins with a row of known types, and each row ends with a flag that is set where a value is not
of its column's type; a page with a flag in it is read again with every column split by what is stored.
"""

# ruff: noqa: S608 - every name in these statements is quoted; values are bound.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tap_sqlite.catalog import TableDescription, source, source_name
from tap_sqlite.declared import BIGINT, BINARY, BOOLEAN, DOUBLE, JSON, TEXT, Affinity, TableColumn
from tap_sqlite.stored import EXACT_INTEGER

Statement = tuple[str, tuple[object, ...]]

SEED = 2
"""The flag of the first row."""

_SEEDS = {BIGINT: "0", BOOLEAN: "0", DOUBLE: "0.0", TEXT: "''", BINARY: "x'00'"}
_WIDEST = 1_900
"""Columns of an answer: SQLite gives 2,000, the cursor and the flag among them."""
_IN_A_CHAIN = 100
_SPLIT = (("integer", "0"), ("real", "0.0"), ("text", "''"), ("blob", "x'00'"))


@dataclass(frozen=True)
class Queries:
    """Statements for the columns that are read, by the key. `cursor` is an expression, see cursors.py."""

    table: TableDescription
    columns: tuple[TableColumn, ...]
    key: tuple[TableColumn, ...]
    cursor: str | None = None
    cursor_condition: str = "1"
    cursor_seed: str = "0"

    @property
    def source(self) -> str:
        """The table in SQL."""
        return source(self.table)

    def spelled(self, column: TableColumn) -> str:
        """The column in SQL."""
        return source_name(self.table, column)

    def highest_key(self) -> Statement:
        """The highest key."""
        names = ", ".join(self.spelled(column) for column in self.key)
        return f"SELECT {names} FROM {self.source}{self._order('DESC')} LIMIT 1", ()

    def rowid_ends(self) -> Statement | None:
        """The lowest and the highest rowid, each from an end of the table; None where there are none."""
        if self.table.rowid is None:
            return None
        ends = (f"(SELECT {end}({self.table.rowid}) FROM {self.source})" for end in ("min", "max"))
        return f"SELECT {', '.join(ends)}", ()

    def page(self, rows: int, upper: Sequence[object], below: Sequence[object] | None, *, split: bool) -> Statement:
        """The next rows down."""
        condition, values = self._compare("<=", upper)
        if below is not None:
            more, below_values = self._compare("<", below)
            condition, values = f"{condition} AND {more}", (*values, *below_values)
        inner = f"FROM {self.source} WHERE {condition}{self._order('DESC')} LIMIT {rows}"
        return self._seeded(inner, split=split), values

    def whole(self) -> Statement:
        """Every row in one pass, in whatever order they come; split, for there is no key to read a page again by."""
        return self._seeded(f"FROM {self.source}", split=True), ()

    def cursor_page(
        self, rows: int, low: object, high: object, after: tuple[object, Sequence[object]] | None, *, split: bool
    ) -> Statement:
        """The next rows up by (cursor, key); the cursor is the last column before the flag."""
        condition = f"{self.cursor_condition} AND {self.cursor} >= ? AND {self.cursor} <= ?"
        values: tuple[object, ...] = (low, high)
        if after is not None:
            compared, key_values = self._compare(">", after[1])
            condition += f" AND ({self.cursor} > ? OR ({self.cursor} = ? AND {compared}))"
            values = (*values, after[0], after[0], *key_values)
        keys = ", ".join(self.spelled(column) for column in self.key)
        inner = f"FROM {self.source} WHERE {condition} ORDER BY {self.cursor}, {keys} LIMIT {rows}"
        return self._seeded(inner, split=split, extra=self.cursor), values

    def missing_cursors(self) -> Statement:
        """How many rows an incremental sync never sees."""
        return f"SELECT count(*) FROM {self.source} WHERE NOT coalesce({self.cursor_condition}, 0)", ()

    def null_keys(self) -> Statement:
        """Whether a key is NULL somewhere."""
        nulls = " OR ".join(f"{self.spelled(column)} IS NULL" for column in self.key)
        return f"SELECT EXISTS (SELECT 1 FROM {self.source} WHERE {nulls})", ()

    def odd_keys(self) -> Statement:
        """Whether a key is of another kind than its column somewhere: it would be no place to go on from."""
        kinds = {BIGINT: "integer", TEXT: "text"}
        odd = " OR ".join(f"typeof({self.spelled(column)}) <> '{kinds[column.settled]}'" for column in self.key)
        return f"SELECT EXISTS (SELECT 1 FROM {self.source} WHERE {odd})", ()

    def highest_cursor(self) -> Statement:
        """The highest cursor."""
        return f"SELECT max({self.cursor}) FROM {self.source} WHERE {self.cursor_condition}", ()

    def later_cursors(self, high: object) -> Statement:
        """How many rows are ahead of this run's upper end."""
        return f"SELECT count(*) FROM {self.source} WHERE {self.cursor_condition} AND {self.cursor} > ?", (high,)

    def parts(self, *, split: bool) -> list[Queries]:
        """The same rows with some of the columns each, where all of them are more than SQLite answers at once."""
        parts: list[list[TableColumn]] = [[]]
        room = _WIDEST
        for column in self.columns:
            takes = len(_SPLIT) if split or column.type == JSON else 1
            if takes > room:
                parts.append([])
                room = _WIDEST
            parts[-1].append(column)
            room -= takes
        return [replace(self, columns=tuple(part)) for part in parts]

    def repeated_keys(self) -> Statement:
        """Whether a key is there twice."""
        names = ", ".join(self.spelled(column) for column in self.key)
        return f"SELECT EXISTS (SELECT 1 FROM {self.source} GROUP BY {names} HAVING count(*) > 1)", ()

    def wrong_above(self, upper: Sequence[object], below: Sequence[object]) -> Statement:
        """How many rows that were read before hold a value that is not of its column's type."""
        condition, values = self._compare("<=", upper)
        more, below_values = self._compare(">=", below)
        sql = f"SELECT count({self._flag()}) FROM {self.source} WHERE {condition} AND {more}"
        return sql, (*values, *below_values)

    def largest_row(self) -> Statement | None:
        """Bytes of text and blobs in the largest row; None where no column can be long."""
        size = self._size()
        return None if size is None else (f"SELECT max({size}) FROM {self.source}", ())

    def largest_of_page(self, rows: int, upper: Sequence[object], below: Sequence[object] | None) -> Statement | None:
        """The same among the next rows down."""
        size = self._size()
        if size is None:
            return None
        condition, values = self._compare("<=", upper)
        if below is not None:
            more, below_values = self._compare("<", below)
            condition, values = f"{condition} AND {more}", (*values, *below_values)
        inner = f"SELECT {size} AS size FROM {self.source} WHERE {condition}{self._order('DESC')} LIMIT {rows}"
        return f"SELECT max(size) FROM ({inner})", values

    def _size(self) -> str | None:
        """From the record's header alone: SQLite does not read a long value to know its length."""
        long = [column for column in self.columns if column.type not in (BIGINT, BOOLEAN, DOUBLE)]
        if not long:
            return None
        return _joined(" + ", [f"coalesce(octet_length({self.spelled(column)}), 0)" for column in long])

    def _seeded(self, inner: str, *, split: bool, extra: str | None = None) -> str:
        seeds: list[str] = []
        names: list[str] = []
        for column in self.columns:
            name = self.spelled(column)
            if split or column.type == JSON:
                seeds += [seed for _, seed in _SPLIT]
                names += [f"CASE WHEN typeof({name}) = '{kind}' THEN {name} END" for kind, _ in _SPLIT]
            else:
                seeds.append(_SEEDS[column.settled])
                names.append(name)
        if extra is not None:
            names.append(extra)
            seeds.append(self.cursor_seed)
        flag = "0" if split else self._flag()
        numbered = [f"{name} AS c{number}" for number, name in enumerate([*names, flag])]
        # UNION ALL hands on its first part, then its second, whose own ORDER BY and LIMIT hold; table.py checks it.
        return f"SELECT {', '.join([*seeds, str(SEED)])} UNION ALL SELECT * FROM (SELECT {', '.join(numbered)} {inner})"

    def _flag(self) -> str:
        wrong = [text for text in map(self._wrong, self.columns) if text]
        return f"CASE WHEN {_joined(' OR ', wrong)} THEN 1 END" if wrong else "NULL"

    def _wrong(self, column: TableColumn) -> str | None:
        """True for a value that is not of the column's type. Cheap where the affinity rules most kinds out: numbers
        sort below text and text below blobs, so one comparison tells them apart.
        """
        name, kind = self.spelled(column), column.settled
        if column.is_rowid or kind == JSON:
            return None
        if column.affinity is Affinity.TEXT and kind == TEXT:
            return f"{name} >= x''"
        if column.affinity is Affinity.REAL and kind == DOUBLE:
            return f"{name} >= ''"
        if kind == TEXT:
            return f"{name} < '' OR {name} >= x''"
        if kind == BINARY:
            return f"{name} < x''"
        if kind == DOUBLE:
            whole = f"typeof({name}) = 'integer' AND {name} NOT BETWEEN {-EXACT_INTEGER} AND {EXACT_INTEGER}"
            return f"{name} >= '' OR ({whole})"
        wrong = f"typeof({name}) <> 'integer'" if column.not_null else f"typeof({name}) NOT IN ('integer', 'null')"
        return f"{wrong} OR {name} NOT IN (0, 1)" if kind == BOOLEAN else wrong

    def _compare(self, sign: str, values: Sequence[object]) -> tuple[str, tuple[object, ...]]:
        names = [self.spelled(column) for column in self.key]
        if len(names) == 1:
            return f"{names[0]} {sign} ?", tuple(values)
        places = ", ".join("?" for _ in names)
        return f"({', '.join(names)}) {sign} ({places})", tuple(values)

    def _order(self, direction: str) -> str:
        return " ORDER BY " + ", ".join(f"{self.spelled(column)} {direction}" for column in self.key)


def _joined(sign: str, parts: Sequence[str]) -> str:
    """In groups: an expression may be 1,000 levels deep, and a chain has a level for each of its parts."""
    groups = [sign.join(parts[start : start + _IN_A_CHAIN]) for start in range(0, len(parts), _IN_A_CHAIN)]
    return sign.join(f"({group})" for group in groups)
