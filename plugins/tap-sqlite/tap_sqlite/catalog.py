"""What is in the file: tables told apart from views, virtual tables and the shadow tables these keep their data in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sync_rules.exits import ConfigurationError

from tap_sqlite.database import Database, folded, quoted
from tap_sqlite.declared import BIGINT, Affinity, TableColumn, affinity, promised

ROWID = "rowid"
"""What a setting calls the hidden row number."""

ROWID_COLUMN = "_rowid"
"""What the hidden row number is called where it is copied."""

_SPELLINGS = ("rowid", "_rowid_", "oid")

_AS = "t"
"""What every statement calls its table."""


@dataclass(frozen=True)
class TableDescription:
    """One table or view.

    `kind` is `table`, `view` or `virtual`. `rowid` is how SQL spells the hidden row number, or None where there is
    none: in views, in WITHOUT ROWID tables, and where columns took all three of its names.
    """

    name: str
    kind: str
    columns: tuple[TableColumn, ...]
    rowid: str | None
    without_rowid: bool
    unique: tuple[frozenset[str], ...]

    def column(self, name: str) -> TableColumn | None:
        """The column of that name, in any case, as SQLite itself finds it."""
        wanted = folded(name)
        return next((column for column in self.columns if folded(column.name) == wanted), None)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Names of the declared primary key's columns, in its order."""
        keyed = sorted((c for c in self.columns if c.key_position), key=lambda column: column.key_position)
        return tuple(column.name for column in keyed)

    @property
    def alias(self) -> str | None:
        """The column that is the row number by another name (INTEGER PRIMARY KEY)."""
        return next((column.name for column in self.columns if column.is_rowid), None)

    def is_unique(self, key: Sequence[str]) -> bool:
        """Whether the file keeps these columns unique."""
        return any(found <= set(key) for found in self.unique)


def table_names(database: Database, *, views: bool) -> list[str]:
    """Tables that hold data of their own, and views where they are wanted.

    A full-text index is a virtual table whose data stands in shadow tables; its content is a copy of some table's.
    Both are left out, and so are SQLite's own tables.
    """
    kinds = ("table", "view") if views else ("table",)
    found = database.rows("SELECT name, type FROM pragma_table_list WHERE schema = 'main' ORDER BY name")
    return [name for name, kind in found if kind in kinds and not name.startswith("sqlite_")]


def describe(database: Database, name: str) -> TableDescription:
    """One table, view or virtual table by its name. Raises ConfigurationError where there is none."""
    found = database.rows(
        "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE", (name,)
    )
    if not found:
        raise ConfigurationError(f"{database.path}: there is no table {name}")
    real, kind, without_rowid = found[0]
    if kind == "shadow":
        raise ConfigurationError(f"{database.path}: {real} is where a virtual table keeps its data; it is not copied")
    try:
        rows = database.rows(
            'SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid', (real,)
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{kind} {real}: its columns cannot be told: {error}") from error
    ordinary = kind == "table"
    is_alias = ordinary and not _has_index_of_key(database, real)
    columns = tuple(
        _column(column, declared or "", bool(not_null), position or 0, is_alias=is_alias and bool(position))
        for column, declared, not_null, position in rows
    )
    taken = {folded(column.name) for column in columns}
    has_rowid = kind != "view" and not without_rowid
    rowid = next((name for name in _SPELLINGS if name not in taken), None) if has_rowid else None
    return TableDescription(
        real, kind, columns, rowid, bool(without_rowid), _unique(database, real, columns) if ordinary else ()
    )


def _column(name: str, declared: str, not_null: bool, position: int, *, is_alias: bool) -> TableColumn:
    kind = affinity(declared)
    return TableColumn(name, declared, kind, promised(declared, kind), not_null or is_alias, position, is_alias)


def _has_index_of_key(database: Database, table: str) -> bool:
    """Whether the key has an index of its own. All have but the INTEGER PRIMARY KEY that is an alias of the rowid.

    `INTEGER PRIMARY KEY DESC` is, by an old accident that SQLite keeps, none.
    """
    return bool(database.value("SELECT count(*) FROM pragma_index_list(?) WHERE origin = 'pk'", (table,)))


def _unique(database: Database, table: str, columns: Sequence[TableColumn]) -> tuple[frozenset[str], ...]:
    """What whole (not partial) unique indexes are over; expressions are no columns."""
    found = [frozenset(column.name for column in columns if column.is_rowid)]
    sql = 'SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial'
    for (index,) in database.rows(sql, (table,)):
        names = [name for (name,) in database.rows("SELECT name FROM pragma_index_info(?)", (index,))]
        if all(name is not None for name in names):
            found.append(frozenset(names))
    return tuple(names for names in found if names)


def rowid_column() -> TableColumn:
    """The hidden row number as a column."""
    return TableColumn(ROWID_COLUMN, "INTEGER", Affinity.INTEGER, BIGINT, not_null=True, is_rowid=True)


def natural_key(table: TableDescription) -> tuple[str, ...]:
    """The key where none is set: the row number by its name, else the declared key, else the hidden row number.

    SQLite allows NULL in a declared key of an ordinary table; that is looked at when the sync begins.
    """
    if table.alias:
        return (table.alias,)
    if table.primary_key:
        return table.primary_key
    return (ROWID_COLUMN,) if table.rowid and table.column(ROWID_COLUMN) is None else ()


def source(table: TableDescription) -> str:
    """How SQL spells the table where it is read from."""
    return f"main.{quoted(table.name)} AS {_AS}"


def source_name(table: TableDescription, column: TableColumn) -> str:
    """How SQL spells the column.

    With its table: SQLite takes a bare name in ORDER BY for a column of the result first, whatever the table has, and
    a quoted name that it does not find for a text.
    """
    if column.name == ROWID_COLUMN and column.is_rowid and table.column(ROWID_COLUMN) is None:
        return f"{_AS}.{table.rowid or ROWID}"
    return f"{_AS}.{quoted(column.name)}"
