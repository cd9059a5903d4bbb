"""How a table would be copied: its key, its cursor, and what a reader of the copy would be surprised by.

Everything here follows from the source's own catalog, through the taps' own discovery: no row is read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sync_rules.exits import ConfigurationError
from tap_mssql import clocks
from tap_mssql.discovery import TableDescription
from tap_mssql.sql_types import SqlColumn
from tap_mssql.table import choose
from target_postgres.names import fold_all, table_of
from target_postgres.postgres_types import PostgresType

_CHANGED = ("modts", "modified", "modification", "lastmod", "updated", "lastupd", "changed", "lastchange", "alteracao",
            "alterado", "atualizacao", "atualizado", "modificacao", "modificado")  # fmt: skip
"""What names of columns say that tell when a row was changed last, in English and Portuguese, without marks."""
_NOT_WHEN = ("by", "user", "usuario", "por")
_MOMENTS = ("datetime", "datetime2", "smalldatetime", "datetimeoffset")
_SHOWN = 4


@dataclass(frozen=True)
class ColumnPlan:
    """A column's name and type on both sides. `loss` says what of a value is not kept; empty where all is."""

    name: str
    declared: str
    target_name: str
    target_type: str
    loss: str = ""


@dataclass(frozen=True)
class Proposal:
    """How one table would be copied. `problem` says why it cannot be; nothing is written for it then.

    `rows` is the catalog's count, `bytes` the size of its rows at the source; None where the source does not say.
    """

    source: str
    target: str
    name: str
    plugin: str
    key: tuple[str, ...] = ()
    cursor: str | None = None
    rows: int | None = None
    bytes: int | None = None
    columns: tuple[ColumnPlan, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""

    @property
    def modes(self) -> tuple[str, ...]:
        """The syncs it can have: an incremental one takes a key and a cursor."""
        return ("full", "incremental") if self.key and self.cursor else ("full",)

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {**asdict(self), "modes": self.modes}


@dataclass(frozen=True)
class Looked:
    """A table as the catalog shows it. `leading` are the columns that an index begins with."""

    description: TableDescription
    leading: frozenset[str] = frozenset()
    bytes: int | None = None


def slug(table: str) -> str:
    """How jobs and extractors spell a table: small letters, digits and dashes; "" where nothing is left of its name."""
    plain = unicodedata.normalize("NFKD", table).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")


def propose(looked: Looked, *, key: Sequence[str] = (), cursor: str | None = None) -> Proposal:
    """The proposal for a table of SQL Server; `key` and `cursor` are the operator's own choice.

    Raises ConfigurationError where that choice cannot be.
    """
    table = looked.description
    bare = Proposal(
        source=table.name.setting,
        target=table_of(table.name.stream),
        name=slug(table.name.table),
        plugin="tap-mssql",
        rows=table.rows,
        bytes=looked.bytes,
    )
    try:
        columns = _columns(table)
        chosen = _checked(table, list(key) or table.natural_key, cursor)
    except ConfigurationError as error:
        if key or cursor:
            raise
        return replace(bare, problem=str(error))
    guessed = None if cursor else _cursor(table)
    found = chosen.cursor if cursor else guessed.name if guessed else None
    notes = [*_key_notes(table, chosen.key), *_cursor_notes(looked, chosen.key, found, guessed), *_value_notes(table)]
    return replace(bare, key=chosen.key, cursor=found if chosen.key else None, columns=columns, notes=tuple(notes))


def _checked(table: TableDescription, key: Sequence[str], cursor: str | None) -> Any:
    """Key and cursor as the tap itself would take or refuse them."""
    config: Mapping[str, Any] = {"sync_mode": "full", "key_columns": list(key), "cursor_column": cursor}
    return choose(table, config, lambda _: True)


def _cursor(table: TableDescription) -> SqlColumn | None:
    """The column that says when a row was changed: mod_ts, else the row version, else one that is called so."""
    usual = table.column("mod_ts")
    if usual is not None and clocks.can_be_cursor(usual):
        return usual
    versions = [column for column in table.columns if column.base == "timestamp"]
    named = [column for column in table.columns if column.base in _MOMENTS and says_changed(column.name)]
    return next(iter([*versions, *sorted(named, key=lambda column: column.nullable)]), None)


def says_changed(name: str) -> bool:
    """Whether a column is called like one that tells when a row was changed last."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.split(r"[^a-z0-9]+", plain)
    joined = "".join(words)
    return any(mark in joined for mark in _CHANGED) and not any(word in words for word in _NOT_WHEN)


def _columns(table: TableDescription) -> tuple[ColumnPlan, ...]:
    folded = fold_all([column.name for column in table.columns], str(table.name))
    return tuple(
        ColumnPlan(column.name, column.declared, folded[column.name], str(PostgresType.of(column.type)), _loss(column))
        for column in table.columns
    )


def _loss(column: SqlColumn) -> str:
    if column.base == "datetimeoffset":
        return "its offset (the instant is kept)" + (", its seventh digit" if column.lost_digits else "")
    return "its seventh digit of the second" if column.lost_digits else ""


def _key_notes(table: TableDescription, key: tuple[str, ...]) -> list[str]:
    if not key:
        return ["no key: read in one pass, which cannot be resumed; no incremental sync"]
    shown, notes = ", ".join(key), []
    if not table.is_unique(key):
        notes.append(f"no unique index has the key {shown}: each sync checks it, and each page may scan the table")
    texts = [column for name in key if (column := table.column(name)) is not None and column.collation]
    for column in texts:
        notes.append(
            f"the key {column.name} is text, compared by {column.collation}: the source may hold two values for one"
            " that PostgreSQL tells apart"
        )
    return notes


def _cursor_notes(looked: Looked, key: Sequence[str], cursor: str | None, guessed: SqlColumn | None) -> list[str]:
    if not key:
        return []
    if cursor is None:
        return ["no column tells what changed: full syncs only; --cursor names one"]
    notes = []
    column = looked.description.column(cursor)
    if guessed is not None and guessed.name.casefold() != "mod_ts" and guessed.base != "timestamp":
        notes.append(f"the cursor {cursor} was chosen by its name: see that every insert and update sets it")
    if column is not None and column.base == "date":
        notes.append(f"the cursor {cursor} is a date: each incremental sync reads whole days again")
    if column is not None and column.nullable:
        notes.append(
            f"rows whose {cursor} is NULL reach no incremental sync: they are counted, and a full sync has them"
        )
    if cursor not in looked.leading:
        notes.append(f"no index begins with {cursor}: each incremental sync scans the table")
    return notes


def _value_notes(table: TableDescription) -> list[str]:
    notes = []
    large = [f"{column.name} {column.declared}" for column in table.columns if column.large]
    if large:
        notes.append(f"large values ({_some(large)}): pages are cut by bytes, and read more slowly")
    lost = [f"{column.name} loses {text}" for column in table.columns if (text := _loss(column))]
    if lost:
        notes.append(f"values that do not fit whole ({_some(lost)}): each loss is counted")
    blind = sorted({column.collation for column in table.columns if column.collation and _ignores(column.collation)})
    if blind:
        notes.append(f"text is compared by {_some(blind)}: a query in PostgreSQL will mind case or accents")
    longer = [column.name for column in table.columns if len(column.name.encode()) > 63]
    if longer:
        notes.append(f"names over 63 bytes are shortened ({_some(longer)})")
    return notes


def _ignores(collation: str) -> bool:
    return "_CI" in collation.upper() or "_AI" in collation.upper()


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
