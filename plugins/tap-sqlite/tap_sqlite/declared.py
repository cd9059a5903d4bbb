"""What a column's declaration promises: its affinity, and the type its values have where they keep the promise.

SQLite's rule for affinities is in its documentation, "Datatypes In SQLite", section 3.1. A declaration binds nobody:
what is stored is looked at as well, in stored.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from sync_rules.column_types import ColumnType

BIGINT = ColumnType("bigint")
DOUBLE = ColumnType("double precision")
TEXT = ColumnType("text")
BINARY = ColumnType("varbinary")
BOOLEAN = ColumnType("boolean")
JSON = ColumnType("json")


class Affinity(Enum):
    """What SQLite turns a value into, where that loses nothing, when it is stored."""

    INTEGER = "integer"
    TEXT = "text"
    BLOB = "blob"
    REAL = "real"
    NUMERIC = "numeric"


@dataclass(frozen=True)
class TableColumn:
    """A column as it is declared. `type` is None until what is stored has been looked at."""

    name: str
    declared: str
    affinity: Affinity
    type: ColumnType | None
    not_null: bool = False
    key_position: int = 0
    is_rowid: bool = False

    @property
    def settled(self) -> ColumnType:
        """The type. Raises RuntimeError before it is known."""
        if self.type is None:
            raise RuntimeError(f"the type of {self.name} has not been settled")
        return self.type


def affinity(declared: str) -> Affinity:
    """By the letters in the declaration, in SQLite's own order."""
    upper = declared.upper()
    if "INT" in upper:
        return Affinity.INTEGER
    if any(part in upper for part in ("CHAR", "CLOB", "TEXT")):
        return Affinity.TEXT
    if "BLOB" in upper or not upper:
        return Affinity.BLOB
    if any(part in upper for part in ("REAL", "FLOA", "DOUB")):
        return Affinity.REAL
    return Affinity.NUMERIC


def promised(declared: str, kind: Affinity) -> ColumnType | None:
    """The type the declaration stands for, or None where it stands for several: no declaration, DATETIME, DECIMAL."""
    if re.match(r"\s*BOOL", declared, re.IGNORECASE):
        return BOOLEAN
    if kind is Affinity.BLOB:
        return BINARY if declared else None
    return {Affinity.INTEGER: BIGINT, Affinity.TEXT: TEXT, Affinity.REAL: DOUBLE}.get(kind)


def for_nothing_stored(column: TableColumn) -> ColumnType:
    """The type of a column without a promise that holds only NULL: any would hold it."""
    if column.affinity is Affinity.NUMERIC and not re.search("DATE|TIME", column.declared, re.IGNORECASE):
        return DOUBLE
    return TEXT
