"""What the database holds: tables, views, their columns, keys and row counts, from SQL Server's catalog views.

Three queries for the whole database, or for the tables asked for, however many there are. A server without those
views is asked by the views of the SQL standard.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sync_rules.exits import ConfigurationError, SourceUnreachable, SyncError

from tap_mssql import standard_views
from tap_mssql.client import Connection
from tap_mssql.sql_types import SqlColumn, orderable, quote

_LOG = logging.getLogger("tap-mssql")
_SYSTEM_TABLES = frozenset({"sysdiagrams", "dtproperties"})
_SYSTEM_SCHEMAS = frozenset({"sys", "information_schema"})
_MOST_NAMED = 1_000
"""A statement of SQL Server takes 2,100 parameters: the two of each name."""
_GRAPH_INTERNAL = re.compile(r"(graph_id|from_obj_id|from_id|to_obj_id|to_id)_[0-9A-F]{32}", re.IGNORECASE)
"""Columns inside a graph table that the catalog lists and no query may name."""
_DROPPED = "MSSQL_DroppedLedger"
"""Tables, views and columns of a ledger that were dropped: they keep their rows under a name that begins so."""

# A login sees the types of other schemas only with rights on them, and the column all the same: it must not go missing.
_COLUMNS = """
SELECT s.name, o.name, RTRIM(o.type), c.name,
       CASE WHEN t.name IN ('vector', 'json') AND t.is_user_defined = 0 THEN t.name
            ELSE COALESCE(b.name, t.name, 'unknown') END,
       c.max_length, c.precision, c.scale,
       CAST(c.is_nullable AS int), c.collation_name, o.object_id
FROM sys.objects o
JOIN sys.schemas s ON s.schema_id = o.schema_id
JOIN sys.columns c ON c.object_id = o.object_id
LEFT JOIN sys.types t ON t.user_type_id = c.user_type_id
LEFT JOIN sys.types b ON b.user_type_id = c.system_type_id
WHERE RTRIM(o.type) IN ('U', 'V') AND o.is_ms_shipped = 0{named}
ORDER BY s.name, o.name, c.column_id
"""
_INDEXES = """
SELECT s.name, o.name, i.index_id, CAST(i.is_primary_key AS int), c.name, CAST(c.is_nullable AS int)
FROM sys.indexes i
JOIN sys.objects o ON o.object_id = i.object_id
JOIN sys.schemas s ON s.schema_id = o.schema_id
JOIN sys.index_columns ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id
JOIN sys.columns c ON c.object_id = ic.object_id AND c.column_id = ic.column_id
WHERE i.is_unique = 1 AND i.has_filter = 0 AND i.is_disabled = 0 AND i.is_hypothetical = 0 AND ic.key_ordinal > 0
  AND RTRIM(o.type) IN ('U', 'V') AND o.is_ms_shipped = 0{named}
ORDER BY s.name, o.name, i.index_id, ic.key_ordinal
"""
_UNENFORCED = "SELECT 1 WHERE CAST(SERVERPROPERTY('EngineEdition') AS int) IN (6, 11)"
"""One row on Azure Synapse and in Fabric's warehouses: a key there is a promise to the planner that rows may break."""
_ROWS = """
SELECT s.name, o.name, SUM(p.rows)
FROM sys.partitions p
JOIN sys.objects o ON o.object_id = p.object_id
JOIN sys.schemas s ON s.schema_id = o.schema_id
WHERE p.index_id IN (0, 1) AND RTRIM(o.type) = 'U' AND o.is_ms_shipped = 0{named}
GROUP BY s.name, o.name
"""


@dataclass(frozen=True, order=True)
class TableName:
    """Schema and table, as the database spells them."""

    schema: str
    table: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"

    @property
    def quoted(self) -> str:
        """As SQL writes it."""
        return f"{quote(self.schema)}.{quote(self.table)}"

    @property
    def setting(self) -> str:
        """As the setting `tables` writes it: in brackets only where a plain name could not be read back."""
        plain = not any(mark in part for part in (self.schema, self.table) for mark in ".[]")
        return str(self) if plain and str(self) == str(self).strip() else self.quoted

    @property
    def stream(self) -> str:
        """The Singer stream's name."""
        return f"{self.schema}-{self.table}"

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Read `schema.table`, with or without brackets; a name without a schema is in dbo."""
        parts: list[str] = []
        rest = text.strip()
        while rest:
            if rest.startswith("["):
                end = _closing(rest)
                parts.append(rest[1:end].replace("]]", "]"))
                rest = rest[end + 1 :].removeprefix(".")
            else:
                part, _, rest = rest.partition(".")
                parts.append(part)
        if len(parts) == 1:
            parts.insert(0, "dbo")
        if len(parts) != 2 or not all(parts):
            raise ConfigurationError(f"setting tables: {text!r} is not of the form schema.table")
        return cls(*parts)


def _closing(text: str) -> int:
    at = 1
    while True:
        at = text.find("]", at)
        if at < 0:
            raise ConfigurationError(f"setting tables: {text!r} has a bracket that is not closed")
        if text[at + 1 : at + 2] != "]":
            return at
        at += 2


@dataclass(frozen=True)
class Index:
    """A unique index without a filter. `nullable`: any of its columns is. `enforced`: rows have to obey it."""

    columns: tuple[str, ...]
    primary: bool
    nullable: bool
    enforced: bool = True


@dataclass(frozen=True)
class TableDescription:
    """One table or view. `number` is the server's own for it: another table that takes its name has another one."""

    name: TableName
    is_view: bool
    columns: tuple[SqlColumn, ...]
    indexes: tuple[Index, ...] = ()
    rows: int | None = None
    number: str | None = None

    def column(self, name: str) -> SqlColumn | None:
        """The column of that name, by its exact spelling, else whatever the case."""
        exact = next((column for column in self.columns if column.name == name), None)
        return exact or next((c for c in self.columns if c.name.casefold() == name.casefold()), None)

    def existing(self, name: str) -> SqlColumn:
        """The same, for a name that the table is known to have."""
        found = self.column(name)
        if found is None:
            raise ConfigurationError(f"{self.name}: there is no column {name}")
        return found

    @property
    def natural_key(self) -> tuple[str, ...]:
        """The primary key, else the shortest unique index over NOT NULL columns, else a column `id`, else nothing.

        An index that rows cannot be paged by gives way to one that they can; where there is no other it is named all
        the same, and what becomes of it is said where the key is chosen.
        """
        unique = [index for index in self.indexes if not index.nullable and all(map(self.column, index.columns))]
        usable = [index for index in unique if self._can_be_paged_by(index)] or unique
        primary = next((index for index in usable if index.primary), None)
        if primary is not None:
            return primary.columns
        if usable:
            return min(usable, key=lambda index: len(index.columns)).columns
        identifier = self.column("id")
        return (identifier.name,) if identifier is not None else ()

    def _can_be_paged_by(self, index: Index) -> bool:
        return all(column is not None and orderable(column) for column in map(self.column, index.columns))

    def is_unique(self, key: Sequence[str]) -> bool:
        """Whether the database itself sees to it that the key is unique."""
        return any(i.enforced and not i.nullable and set(i.columns) <= set(key) for i in self.indexes)


def describe(
    connection: Connection, wanted: Sequence[TableName] = (), schemas: Sequence[str] = ()
) -> list[TableDescription]:
    """The wanted tables, or all of the given schemas, or all. Raises ConfigurationError for one that is not there."""
    columns: dict[TableName, list[SqlColumn]] = {}
    views: set[TableName] = set()
    numbers: dict[TableName, str | None] = {}
    listed, standard = _columns(connection, wanted, schemas)
    for schema, table, kind, name, base, length, precision, scale, nullable, collation, number in listed:
        if table in _SYSTEM_TABLES or schema.lower() in _SYSTEM_SCHEMAS or _GRAPH_INTERNAL.fullmatch(name):
            continue
        if table.startswith(_DROPPED) or name.startswith(_DROPPED):
            continue
        owner = TableName(schema, table)
        base = base.lower().partition("(")[0].strip()  # some servers write decimal(18,2)
        column = SqlColumn(
            name,
            standard_views.SYNONYMS.get(base, base) if standard else base,
            int(length),
            int(precision),
            int(scale),
            bool(nullable),
            collation,
        )
        members = columns.setdefault(owner, [])
        if column in members:  # some servers list what other databases have, too
            continue
        if any(one.name == name for one in members):
            raise ConfigurationError(f"{owner}: the server lists its column {name} twice, and not as the same")
        members.append(column)
        numbers[owner] = None if number is None else str(number)  # some servers have other kinds of numbers
        if kind.strip() == "V":
            views.add(owner)
    there = {_folded(name) for name in columns}
    missing = [name for name in wanted if _folded(name) not in there]
    if missing:
        names = ", ".join(str(name) for name in missing)
        raise ConfigurationError(f"{names}: no such table or view in the database, or no right to see it")
    indexes = _indexes(connection, wanted, schemas, standard=standard)
    condition, values = named(wanted, schemas)
    rows = {
        TableName(schema, table): int(count)
        for schema, table, count in optional(connection, _ROWS.format(named=condition), values)
        if count is not None
    }
    asked = {_folded(name) for name in wanted}
    return [
        TableDescription(name, name in views, tuple(found), tuple(indexes.get(name, ())), rows.get(name), numbers[name])
        for name, found in columns.items()
        if not asked or _folded(name) in asked
    ]


@cache
def _warn_once(said: str) -> None:
    """Each table and each connection asks the same views: what the server refuses is told once a process."""
    _LOG.warning("%s", said)


def optional(
    connection: Connection, sql: str, values: Sequence[str] = (), *, quietly: bool = False
) -> list[tuple[Any, ...]]:
    """What a catalog view says, or nothing where the server refuses to tell: a copy can do without.

    Without the indexes a key has to be set and is checked; without the row counts there is no estimate. `quietly` is
    for what older servers do not have.
    """
    try:
        return connection.rows(sql, values)
    except SourceUnreachable:
        raise
    except SyncError as error:
        if not quietly:
            _warn_once(f"{error}; going on without it")
        return []


def describe_one(connection: Connection, name: TableName) -> TableDescription:
    """One table, as it is now."""
    found = describe(connection, [name])
    return next((one for one in found if one.name == name), found[0])


def _columns(
    connection: Connection, wanted: Sequence[TableName], schemas: Sequence[str]
) -> tuple[list[tuple[Any, ...]], bool]:
    """What is known of the columns, and whether it is the standard's views that know it.

    They are asked, too, where SQL Server's own list nothing or no type: another kind of server may have them for show.
    """
    found = _own(connection, _COLUMNS, wanted, schemas)
    if found and any(base != "unknown" for _, _, _, _, base, *_ in found):
        return found, False
    try:
        listed = _standard(connection, standard_views.COLUMNS, wanted, schemas)
    except SourceUnreachable:
        raise
    except SyncError:
        listed = []
        if found is None and not (found := _of_tables(connection, _COLUMNS, wanted, schemas)):
            raise
    if not listed:
        return found or [], False
    if found is not None:
        _warn_once("catalog: SQL Server's own views do not tell; asking the views of the SQL standard")
    return listed, True


def _key_columns(
    connection: Connection, wanted: Sequence[TableName], schemas: Sequence[str], *, standard: bool
) -> list[tuple[Any, ...]]:
    """The standard's views are not asked where SQL Server's own know the columns: they do not tell a disabled key."""
    found = _own(connection, _INDEXES, wanted, schemas)
    if found or (found is not None and not standard):
        return found
    try:
        return _standard(connection, standard_views.KEYS, wanted, schemas)
    except SourceUnreachable:
        raise
    except SyncError as error:
        found = _of_tables(connection, _INDEXES, wanted, schemas)
        if not found:
            _warn_once(f"{error}; going on without it")
        return found


def _own(
    connection: Connection, sql: str, wanted: Sequence[TableName], schemas: Sequence[str]
) -> list[tuple[Any, ...]] | None:
    """What SQL Server's own views say; None where they are refused."""
    condition, values = named(wanted, schemas)
    try:
        return connection.rows(sql.format(named=condition), values)
    except SourceUnreachable:
        raise
    except SyncError as error:
        _warn_once(f"{error}; asking the views of the SQL standard")
        return None


def _of_tables(
    connection: Connection, sql: str, wanted: Sequence[TableName], schemas: Sequence[str]
) -> list[tuple[Any, ...]]:
    """What `sys.tables` knows, where a server has neither `sys.objects` nor the standard's views; nothing of views."""
    condition, values = named(wanted, schemas)
    sql = sql.format(named=condition).replace("sys.objects", "sys.tables")
    return optional(connection, sql, values, quietly=True)


def _standard(
    connection: Connection, sql: str, wanted: Sequence[TableName], schemas: Sequence[str]
) -> list[tuple[Any, ...]]:
    condition, values = named(wanted, schemas, *standard_views.NAMES)
    return connection.rows(sql.format(named=condition), values)


def _indexes(
    connection: Connection, wanted: Sequence[TableName], schemas: Sequence[str], *, standard: bool
) -> dict[TableName, list[Index]]:
    gathered: dict[tuple[TableName, Any], tuple[bool, list[tuple[str, bool]]]] = {}
    for schema, table, index, primary, column, nullable in _key_columns(connection, wanted, schemas, standard=standard):
        key = (TableName(schema, table), index)
        members = gathered.setdefault(key, (bool(primary), []))[1]
        if (column, bool(nullable)) not in members:
            members.append((column, bool(nullable)))
    enforced = not gathered or not optional(connection, _UNENFORCED, quietly=True)
    found: dict[TableName, list[Index]] = {}
    for (name, _), (primary, parts) in gathered.items():
        index = Index(tuple(part for part, _ in parts), primary, any(one_is for _, one_is in parts), enforced)
        found.setdefault(name, []).append(index)
    return found


def named(
    wanted: Sequence[TableName], schemas: Iterable[str], schema: str = "s.name", table: str = "o.name"
) -> tuple[str, list[str]]:
    """The condition that picks tables or schemas, and its values; `schema` and `table` are their names in the query.

    More tables than a statement has parameters for are not picked: all are asked for.
    """
    if len(wanted) > _MOST_NAMED:
        return "", []
    if wanted:
        one = f"({schema} = ? AND {table} = ?)"
        values = [part for name in wanted for part in (name.schema, name.table)]
        return f" AND ({' OR '.join([one] * len(wanted))})", values
    listed = list(schemas)
    if listed:
        return f" AND {schema} IN ({', '.join('?' * len(listed))})", listed
    return "", []


def _folded(name: TableName) -> tuple[str, str]:
    return name.schema.casefold(), name.table.casefold()
