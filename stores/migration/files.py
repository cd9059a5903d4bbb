"""Which files there are, what layout each has, and how many rows are in it. Nothing is written, and nothing locked."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from stores.migration.layouts import Layout, recognise

LANDING = "landing"
"""The schema the old tables land in."""

_MAGIC = b"SQLite format 3\0"
_NAME_LENGTH = 36  # with a table's name behind it, it has to fit into 63 bytes
_SUFFIXES = (".db", ".sqlite", ".sqlite3")


@dataclass(frozen=True)
class SourceTable:
    """One old table. `target` is the model's table, or None for one that is archived."""

    name: str
    rows: int
    target: str | None


@dataclass(frozen=True)
class Store:
    """One old file. `name` is unique among the files of a folder, and names its tables where they land."""

    name: str
    path: Path
    layout: Layout
    tables: tuple[SourceTable, ...]
    indexes: tuple[str, ...]

    @property
    def prefix(self) -> str:
        """What its tables' names begin with where they land."""
        return f"{self.name}__"

    def landing_table(self, table: str) -> str:
        """The name a table lands under, and is archived under."""
        return f"{self.prefix}{table}".lower()

    @property
    def rows(self) -> int:
        """Rows in all of its tables."""
        return sum(table.rows for table in self.tables)


@dataclass(frozen=True)
class Unknown:
    """A file that is left alone, and why."""

    path: Path
    reason: str


def find(folder: Path, only: Sequence[str] = ()) -> tuple[list[Store], list[Unknown]]:
    """The stores below a folder, by name, and the files that are none. `only` names stores or layouts."""
    stores: list[Store] = []
    unknown: list[Unknown] = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES and path.is_file()):
        found = _look(path, folder)
        if isinstance(found, Unknown):
            unknown.append(found)
        elif not only or found.name in only or found.layout.name in only:
            stores.append(found)
    return stores, unknown


def _look(path: Path, folder: Path) -> Store | Unknown:
    with path.open("rb") as file:
        if file.read(16) != _MAGIC:
            return Unknown(path, "no SQLite file")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            connection.execute("BEGIN")
            kinds = connection.execute("SELECT name, type FROM pragma_table_list WHERE schema = 'main'").fetchall()
            ordinary = sorted(name for name, kind in kinds if kind == "table" and not name.startswith("sqlite_"))
            columns = {name: frozenset(_columns(connection, name)) for name in ordinary}
            layout = recognise(columns)
            if layout is None:
                return Unknown(path, f"none of the layouts known; it has {', '.join(ordinary) or 'no tables'}")
            tables = tuple(_table(connection, name, layout) for name in ordinary)
            indexes = tuple(name for name, kind in kinds if kind == "virtual")
    except sqlite3.Error as error:
        return Unknown(path, f"cannot be read: {error}")
    return Store(_name(path, folder), path, layout, tables, indexes)


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]


def _table(connection: sqlite3.Connection, table: str, layout: Layout) -> SourceTable:
    quoted = table.replace('"', '""')
    rows = connection.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0]  # noqa: S608
    destination = layout.mapped.get(table)
    return SourceTable(table, rows, destination.target if destination else None)


def _name(path: Path, folder: Path) -> str:
    relative = path.relative_to(folder).with_suffix("")
    name = re.sub(r"\W+", "_", str(relative)).strip("_").lower()
    if len(name) <= _NAME_LENGTH:
        return name
    return f"{name[: _NAME_LENGTH - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
