"""What is stored in a column, whatever it declares; and the type that holds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from sync_rules.column_types import ColumnType

from tap_sqlite.database import Database
from tap_sqlite.declared import BIGINT, BINARY, BOOLEAN, DOUBLE, JSON, TEXT, TableColumn, for_nothing_stored

EXACT_INTEGER = 2**53
"""Every integer up to here has a double of its own."""


_AT_ONCE = 300
"""Columns: each makes six of the 2,000 that SQLite answers."""


@dataclass(frozen=True)
class Stored:
    """How many values of each kind a column holds. `wide` are integers no double holds, `odd` those not 0 or 1."""

    integers: int
    reals: int
    texts: int
    blobs: int
    wide: int
    odd: int

    @property
    def kinds(self) -> dict[str, int]:
        """The counts that are not 0, by kind."""
        counts = {"integer": self.integers, "real": self.reals, "text": self.texts, "blob": self.blobs}
        return {kind: count for kind, count in counts.items() if count}

    def fits(self, kind: ColumnType) -> bool:
        """Whether every value is exactly one of that type's."""
        allowed = {
            BIGINT: {"integer"},
            TEXT: {"text"},
            BINARY: {"blob"},
            BOOLEAN: {"integer"},
            DOUBLE: {"real", "integer"},
        }[kind]
        if not set(self.kinds) <= allowed:
            return False
        return not (kind == BOOLEAN and self.odd) and not (kind == DOUBLE and self.wide)


def look(database: Database, source: str, spelled: Sequence[str]) -> list[Stored]:
    """Count the kinds in each of the columns, in one pass over the table where it is not very wide."""
    starts = range(0, len(spelled), _AT_ONCE)
    return [found for start in starts for found in _look(database, source, spelled[start : start + _AT_ONCE])]


def _look(database: Database, source: str, spelled: Sequence[str]) -> list[Stored]:
    parts = []
    for name in spelled:
        parts += [
            f"count(CASE WHEN typeof({name}) = '{kind}' THEN 1 END)" for kind in ("integer", "real", "text", "blob")
        ]
        whole = f"typeof({name}) = 'integer'"
        parts.append(f"count(CASE WHEN {whole} AND {name} NOT BETWEEN {-EXACT_INTEGER} AND {EXACT_INTEGER} THEN 1 END)")
        parts.append(f"count(CASE WHEN {whole} AND {name} NOT IN (0, 1) THEN 1 END)")
    counts = database.rows(f"SELECT {', '.join(parts)} FROM {source}")[0]  # noqa: S608 - quoted names
    return [Stored(*counts[start : start + 6]) for start in range(0, len(counts), 6)]


def not_utf8(database: Database, source: str, spelled: Sequence[str], rows: int) -> set[int]:
    """Which of these columns of text hold some that is not UTF-8. SQLite itself never looks, so each value is read."""
    if not spelled:
        return set()
    seeds = ", ".join(f"'' AS c{number}" for number in range(len(spelled)))
    sql = f"SELECT {seeds} UNION ALL SELECT {', '.join(spelled)} FROM {source}"  # noqa: S608 - quoted names
    found: set[int] = set()
    for batch in database.batches(sql, (), rows):
        for number in set(range(len(spelled))) - found:
            try:
                batch.column(number).validate(full=True)
            except pa.ArrowInvalid:
                found.add(number)
    return found


def settle(column: TableColumn, stored: Stored, *, as_json: bool) -> ColumnType:
    """The type for a column after a look at what it holds.

    The promised type where everything fits it. Else the one type that everything fits. Else, where values of another
    type become JSON, `json`; where their rows are rejected, the promised type, or the type of most values.
    """
    if column.type is not None and stored.fits(column.type):
        return column.type
    if not stored.kinds:
        return for_nothing_stored(column)
    if column.type is None or (as_json and column.type in (BOOLEAN, BIGINT)):
        for kind in (BIGINT, DOUBLE, TEXT, BINARY):
            if stored.fits(kind) and not (kind == DOUBLE and column.type == BIGINT):
                return kind
    if as_json:
        return JSON
    if column.type is not None:
        return column.type
    most = max(stored.kinds, key=lambda kind: stored.kinds[kind])
    return {"integer": BIGINT, "real": DOUBLE, "text": TEXT, "blob": BINARY}[most]
