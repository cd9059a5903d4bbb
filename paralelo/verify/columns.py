"""A column as both sides have it, and the one form in which its values are compared.

Comparing needs neither side's types but a third: the *canonical* Arrow type, one for each family, wide enough for
both. Two values are the same exactly when their canonical forms are. The rules are a table in docs/verify.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
from sync_rules.column_types import MAX_PRECISION, ColumnType

Family = Literal[
    "boolean", "integer", "decimal", "float", "text", "binary", "date", "time", "timestamp", "instant", "uuid"
]

_FAMILIES: dict[str, Family] = {
    "boolean": "boolean",
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "decimal": "decimal",
    "real": "float",
    "double precision": "float",
    "char": "text",
    "varchar": "text",
    "text": "text",
    "json": "text",
    "varbinary": "binary",
    "date": "date",
    "time": "time",
    "timestamp": "timestamp",
    "timestamp with time zone": "instant",
    "uuid": "uuid",
}

_TARGET_FAMILIES: dict[str, Family] = {
    "bool": "boolean",
    "int2": "integer",
    "int4": "integer",
    "int8": "integer",
    "numeric": "decimal",
    "float4": "float",
    "float8": "float",
    "bytea": "binary",
    "date": "date",
    "time": "time",
    "timestamp": "timestamp",
    "timestamptz": "instant",
    "uuid": "uuid",
}

_CANONICAL: dict[Family, pa.DataType] = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "text": pa.large_string(),
    "binary": pa.large_binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "instant": pa.timestamp("us", tz="UTC"),
    "uuid": pa.binary(16),
}

_ORDERED: frozenset[Family] = frozenset({"integer", "decimal", "date", "timestamp", "instant"})
_DIVISIBLE = ("tinyint", "smallint", "int", "bigint", "date", "datetime2")


def family_of(kind: ColumnType) -> Family:
    """The family of a neutral column type."""
    return _FAMILIES[kind.name]


@dataclass(frozen=True)
class Column:
    """One column of a table that is on both sides.

    `source` and `target` are its names there; `declared` is the type as SQL Server spells it (`datetime2(7)`), `kind`
    the neutral type the tap makes of it, `stored` PostgreSQL's name of the type it has in the target (`int4`).
    `expression` is what the tap selects for it, in T-SQL.
    """

    source: str
    target: str
    kind: ColumnType
    declared: str
    stored: str
    expression: str
    nullable: bool = True

    @property
    def family(self) -> Family:
        """Which values the source's column holds."""
        return family_of(self.kind)

    @property
    def stored_family(self) -> Family:
        """Which values the target's column holds: anything without a family of its own is text."""
        return _TARGET_FAMILIES.get(self.stored, "text")

    @property
    def padded(self) -> bool:
        """Whether trailing spaces are padding: only where the source declares `char` or `nchar`."""
        return self.kind.name == "char"

    @property
    def canonical(self) -> pa.DataType:
        """The Arrow type both sides' values are brought to."""
        if "decimal" in (self.family, self.stored_family):
            return pa.decimal128(MAX_PRECISION, self.kind.scale or 0)
        return _CANONICAL[self.family]

    @property
    def comparable(self) -> bool:
        """Whether the two types hold the same kind of value.

        A number may be stored as an integer or as a numeric. A date stored as text, or a decimal as a float, is not
        compared value by value: no conversion of it is exact both ways.
        """
        if {self.family, self.stored_family} <= {"integer", "decimal"}:
            return True
        return self.family == self.stored_family

    @property
    def ordered(self) -> bool:
        """Whether both servers sort it alike, NULL aside.

        Texts are sorted by collation, uniqueidentifier by its last bytes first: not alike.
        """
        return self.family in _ORDERED and self.comparable and not self.nullable

    @property
    def cut(self) -> bool:
        """Whether the target holds fewer digits of it than the source."""
        return self.declared in ("datetime2(7)", "datetimeoffset(7)", "time(7)")

    @property
    def divisible(self) -> bool:
        """Whether ranges of it can be cut at integers (see segments.py) and be looked up by an index on both sides."""
        base = self.declared.partition("(")[0].strip().lower()
        return self.ordered and base in _DIVISIBLE and self.stored_family == self.family


@dataclass(frozen=True)
class TablePair:
    """One table on both sides.

    `source_schema`, `source_table` and `target_schema`, `target_table` name it; `key` holds the key columns in order
    (empty for a table without one), `cursor` the modification timestamp column, or None. `copied` are the names
    at the source of the columns that its syncs copy, whether they are compared or not.
    """

    source_schema: str
    source_table: str
    target_schema: str
    target_table: str
    columns: tuple[Column, ...]
    key: tuple[Column, ...] = ()
    cursor: Column | None = None
    copied: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How people call it: the source's name."""
        return f"{self.source_schema}.{self.source_table}".removeprefix(".")

    @property
    def ordered(self) -> bool:
        """Whether both servers can deliver the rows in one and the same order of the key.

        What was cut may only come last: rows of one microsecond are sorted by its seventh digit at the source, and by
        the next column in the target.
        """
        return bool(self.key) and all(one.ordered for one in self.key) and not any(one.cut for one in self.key[:-1])

    @property
    def axis(self) -> Column | None:
        """The column along which the table is cut into ranges: the first of the key, where that can be done."""
        return self.key[0] if self.key and self.key[0].divisible else None
