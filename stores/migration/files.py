"""Which files there are, what layout each has, and how many rows are in it. Nothing is written, and nothing locked."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tap_sqlite.database import why_not
from target_postgres.names import shorten

from stores.migration.layouts import Layout, recognise

LANDING = "landing"
"""The schema the old tables land in."""

_MAGIC = b"SQLite format 3\0"
_NAME_LENGTH = 36  # so that with a table's name behind it, it seldom has to be shortened
ROWID = "_rowid"
"""The column that a row's number is copied under."""
_ROWIDS = ("rowid", "_rowid_", "oid")
_SUFFIXES = (".db", ".sqlite", ".sqlite3")


@dataclass(frozen=True)
class SourceTable:
    """One old table. `target` is the model's table, or None for one that is archived.

    `rowid` is how SQL spells its hidden row number, or None where there is none to be had: in a WITHOUT ROWID table, or
    one whose columns took every name of it, or the one that it is copied under. Then `key` are the columns that tell
    its rows apart, as they land.
    """

    name: str
    rows: int
    target: str | None
    rowid: str | None = "rowid"
    key: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def own_rowid(self) -> str | None:
        """What its own column `_rowid`, if it has one, is called beside the row number that this migration gives."""
        if ROWID not in self.columns:
            return None
        return next(name for n in count() if (name := f"{ROWID}_{n or 'own'}") not in self.columns)

    @property
    def kind(self) -> str:
        """What the layouts call it: SQLite's names know no case."""
        return self.name.lower()


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
        """The name a table lands under, and is archived under: target-postgres shortens what PostgreSQL would cut."""
        return _landed(f"{self.prefix}{table}")

    @property
    def rows(self) -> int:
        """Rows in all of its tables."""
        return sum(table.rows for table in self.tables)


@dataclass(frozen=True)
class Unknown:
    """A file that is left alone, and why. `unreadable`: what is in it is not known, so it may be a store."""

    path: Path
    reason: str
    unreadable: bool = False


class SameName(Exception):
    """Two files whose names are one where their tables land: one of them would be lost."""


def find(folder: Path, only: Sequence[str] = ()) -> tuple[list[Store], list[Unknown]]:
    """The stores below a folder, by name, and the files that are none. `only` names stores or layouts.

    Raises SameName where two files would have one name in PostgreSQL.
    """
    stores: dict[str, Store] = {}
    unknown: list[Unknown] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found = _look(path, folder) if _is_named_like_one(path) else _otherwise(path)
        if isinstance(found, Unknown):
            unknown.append(found)
        elif found is not None:
            other = stores.setdefault(found.name, found)
            if other is not found:
                raise SameName(f"{other.path} and {path} would both be the store {found.name}: rename one of them")
    chosen = [one for one in stores.values() if not only or one.name in only or one.layout.name in only]
    return chosen, unknown


def _is_named_like_one(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES


def _otherwise(path: Path) -> Unknown | None:
    """A SQLite file by another name may be a store, or the copy of one: it is told, and left to its owner."""
    try:
        with path.open("rb") as file:
            is_sqlite = file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return None
    names = ", ".join(_SUFFIXES)
    return Unknown(path, f"a SQLite file whose name does not end in {names}") if is_sqlite else None


def _look(path: Path, folder: Path) -> Store | Unknown:
    real = path.resolve()
    if path.is_symlink() and _is_named_like_one(real) and real.is_relative_to(folder.resolve()):
        return Unknown(path, f"a link to {real.relative_to(folder.resolve())}, which is moved by its own name")
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        return Unknown(path, f"cannot be read: {error.strerror}", unreadable=True)
    if not start:
        return Unknown(path, "empty")
    if start != _MAGIC:
        return Unknown(path, "no SQLite file, or an encrypted one", unreadable=True)
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            connection.execute("BEGIN")
            kinds = connection.execute("SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main'").fetchall()
            ordinary = sorted((n, bool(wr)) for n, kind, wr in kinds if kind == "table" and not n.startswith("sqlite_"))
            columns = {name.lower(): frozenset(_columns(connection, name)) for name, _ in ordinary}
            layout = recognise(columns)
            if layout is None:
                there = ", ".join(name for name, _ in ordinary) or "no tables"
                return Unknown(path, f"none of the layouts known; it has {there}")
            tables = tuple(_table(connection, name, layout, without_rowid=without) for name, without in ordinary)
            indexes = tuple(name for name, kind, _ in kinds if kind == "virtual")
    except sqlite3.Error as error:
        closed = str(error).startswith(("unable to open", "attempt to write"))
        return Unknown(path, f"cannot be read: {why_not(path) if closed else error}", unreadable=True)
    return Store(_name(path, folder), path, layout, tables, indexes)


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """Names of the columns, as they land."""
    sql = "SELECT name FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid"
    return [_landed(name) for (name,) in connection.execute(sql, (table,))]


def _landed(name: str) -> str:
    """A name in the database. SQLite's own lower() knows ASCII only."""
    return shorten(name.lower())


def _table(connection: sqlite3.Connection, table: str, layout: Layout, *, without_rowid: bool) -> SourceTable:
    quoted = table.replace('"', '""')
    rows = connection.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0]  # noqa: S608
    destination = layout.mapped.get(table.lower())
    target = destination.target if destination else None
    names = _columns(connection, table)
    taken = without_rowid or ROWID in names
    rowid = None if taken else next((name for name in _ROWIDS if name not in names), None)
    if rowid is not None:
        return SourceTable(table, rows, target, rowid)
    sql = "SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk"
    key = tuple(_landed(name) for (name,) in connection.execute(sql, (table,)))
    return SourceTable(table, rows, target, None, key if without_rowid else tuple(names), tuple(names))


def _name(path: Path, folder: Path) -> str:
    relative = path.relative_to(folder).with_suffix("")
    name = re.sub(r"\W+", "_", str(relative)).strip("_").lower()
    if len(name) <= _NAME_LENGTH:
        return name
    return f"{name[: _NAME_LENGTH - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
