"""Compares both sides: the file against the landing table, value by value; the landing table against the models."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from psycopg import sql
from psycopg.types.json import set_json_loads

from stores.migration.files import LANDING, ROWID, SourceTable, Store
from stores.migration.mapping import Connection, in_order, shape
from stores.migration.statements import mapping, source_of, statement

_FETCH = 5_000
Row = tuple[int, tuple[Any, ...]]

_META = ("_rowid", "_reason", "_note", "_part")


@dataclass(frozen=True)
class TableComparison:
    """One table on both sides. `rows_differing` counts rows missing on either side too.

    `kept_rows` are the archived and the rejected ones. `unaccounted` landed and are not in the ledger, `gone` are in
    the ledger and not in the file any more.
    """

    store: str
    table: str
    file_rows: int
    landed_rows: int
    rows_differing: int
    mapped_rows: int = 0
    mapped_differing: int = 0
    kept_rows: int = 0
    kept_differing: int = 0
    unaccounted: int = 0
    gone: int = 0

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        differing = self.rows_differing + self.mapped_differing + self.kept_differing + self.unaccounted + self.gone
        return self.file_rows == self.landed_rows and not differing


def verify_store(connection: Connection, store: Store) -> list[TableComparison]:
    """Compare every table of a store. Nothing is written."""
    with connection.transaction():
        connection.execute("SET LOCAL TimeZone = 'UTC'")
        connection.execute("SET LOCAL search_path = paralelo_stores, pg_catalog")
        return [_compare(connection, store, table) for table in in_order(store)]


def without_a_file(connection: Connection, folder: Path, stores: Sequence[Store], only: Sequence[str]) -> list[str]:
    """Stores that were moved from below the folder, and whose file is not there any more."""
    there = {store.name for store in stores}
    known = connection.execute(statement("ledger.layouts")).fetchall()
    return [
        name
        for name, layout, path in known
        if name not in there
        and (not only or name in only or layout in only)
        and Path(path).resolve().is_relative_to(folder.resolve())
    ]


def _compare(connection: Connection, store: Store, table: SourceTable) -> TableComparison:
    found = TableComparison(store.name, table.name, *_file_against_landing(connection, store, table))
    if not _landed_at_all(connection, store, table):
        return replace(found, gone=_counts(connection, store, table, statement("ledger.of_table"))[0])
    source = source_of(store, table)
    unaccounted, gone = _counts(connection, store, table, statement("ledger.accounted", source=source))
    mapped = (0, 0) if table.target is None else _landing_against_model(connection, store, table)
    kept, kept_differing = _counts(connection, store, table, statement("engine.compare_rejected", source=source))
    archived, archived_differing = _landing_against_archive(connection, store, table)
    return replace(
        found,
        mapped_rows=mapped[0],
        mapped_differing=mapped[1],
        kept_rows=kept + archived,
        kept_differing=kept_differing + archived_differing,
        unaccounted=unaccounted,
        gone=gone,
    )


def _landing_against_archive(connection: Connection, store: Store, table: SourceTable) -> tuple[int, ...]:
    """Rows archived, and those that are not there as they landed. An archive that is gone has none of them."""
    archive = sql.Identifier("archive", store.landing_table(table.name))
    there = connection.execute("SELECT to_regclass(%s)", [archive.as_string(connection)]).fetchone() != (None,)
    source = source_of(store, table)
    kept: sql.Composable = sql.SQL("(SELECT s.* FROM {} AS s WHERE false)").format(source)
    if there:  # it may have its columns in another order, and such as the file has no more
        has, wanted = shape(connection, archive), shape(connection, source)
        names = sql.SQL(", ").join(map(sql.Identifier, wanted))
        kept = sql.SQL("(SELECT {} FROM {})").format(names, archive) if wanted.keys() <= has.keys() else archive
    compare = statement("engine.compare_archived", archive=kept, source=source)
    return _counts(connection, store, table, compare)


def _counts(connection: Connection, store: Store, table: SourceTable, query: sql.Composed) -> tuple[int, ...]:
    row = connection.execute(query, {"store": store.name, "table": table.name}).fetchone()
    if row is None:
        raise RuntimeError("a count answered no row")
    return row


def _file_against_landing(connection: Connection, store: Store, table: SourceTable) -> tuple[int, int, int]:
    """Rows in the file, rows landed, rows that differ or are on one side only."""
    with closing(sqlite3.connect(f"{store.path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as file:
        file.text_factory = _Text
        one_side = _from_file(file, table)
        other_side = _from_landing(connection, store, table) if _landed_at_all(connection, store, table) else iter(())
        return (_by_rowid if table.rowid is not None else _by_content)(one_side, other_side)


def _by_rowid(one_side: Iterator[Row], other_side: Iterator[Row]) -> tuple[int, int, int]:
    """Both sides come by rowid, and are never held."""
    counts = [0, 0]
    differing = 0
    left, right = next(one_side, None), next(other_side, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0] < right[0]):
            counts[0] += 1
            differing += 1
            left = next(one_side, None)
        elif left is None or right[0] < left[0]:
            counts[1] += 1
            differing += 1
            right = next(other_side, None)
        else:
            counts[0] += 1
            counts[1] += 1
            differing += left[1] != right[1]
            left, right = next(one_side, None), next(other_side, None)
    return counts[0], counts[1], differing


def _by_content(one_side: Iterator[Row], other_side: Iterator[Row]) -> tuple[int, int, int]:
    """Rows without a number: whether each is as often on one side as on the other. Holds a digest of each."""
    left, right = (Counter(_digest(values) for _, values in side) for side in (one_side, other_side))
    return left.total(), right.total(), max((left - right).total(), (right - left).total())


def _digest(values: tuple[Any, ...]) -> bytes:
    alike = tuple(int(v) if isinstance(v, float) and v.is_integer() else v for v in values)
    return hashlib.blake2b(repr(alike).encode(), digest_size=16).digest()


class _Text(bytes):
    """Text as the file holds it, told apart from a blob."""


def _from_file(file: sqlite3.Connection, table: SourceTable) -> Iterator[Row]:
    quoted = table.name.replace('"', '""')
    rowid = table.rowid or "0"
    order = f" ORDER BY {rowid}" if table.rowid else ""
    for number, *values in file.execute(f'SELECT {rowid}, * FROM "{quoted}"{order}'):  # noqa: S608
        yield number, tuple(map(_stored, values))


def _stored(value: Any) -> Any:
    """A value of the file in terms both sides share."""
    if not isinstance(value, _Text):
        return value
    try:
        return value.decode().replace("\0", "\u2400")
    except UnicodeDecodeError:
        return ("text", bytes(value))


def _landed_at_all(connection: Connection, store: Store, table: SourceTable) -> bool:
    name = sql.Identifier(LANDING, store.landing_table(table.name)).as_string(connection)
    found = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [name]).fetchone()
    return bool(table.rows and found and found[0])


def _from_landing(connection: Connection, store: Store, table: SourceTable) -> Iterator[Row]:
    landing = sql.Identifier(LANDING, store.landing_table(table.name))
    names = [
        row[0]
        for row in connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
            " ORDER BY attnum",
            [landing.as_string(connection)],
        )
    ]
    if table.own_rowid is not None:
        names = [table.own_rowid if name == ROWID else name for name in names]
    names = [name for name in names if name != ROWID]
    columns = sql.SQL(", ").join(map(sql.Identifier, ["_rowid", *names]))
    with connection.cursor(f"verify_{store.name}"[:60]) as cursor:
        cursor.itersize = _FETCH
        set_json_loads(_loads, cursor)
        cursor.execute(sql.SQL("SELECT {} FROM {} AS s ORDER BY _rowid").format(columns, source_of(store, table)))
        for rowid, *values in cursor:
            yield rowid, tuple(map(_landed, values))


class _Json:
    """A value of a json column, told apart from a text column's."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _loads(text: str | bytes) -> _Json:
    return _Json(json.loads(text))


def _landed(value: Any) -> Any:
    if isinstance(value, _Json):
        value = value.value
        if isinstance(value, dict):
            if "real" in value:
                return float(value["real"])
            packed = base64.b64decode(value.get("base64") or value.get("text_base64") or "")
            return packed if "base64" in value else ("text", packed)
    if isinstance(value, str):
        return value.replace("\0", "\u2400")
    if isinstance(value, bool):
        return int(value)
    return bytes(value) if isinstance(value, memoryview) else value


def _landing_against_model(connection: Connection, store: Store, table: SourceTable) -> tuple[int, int]:
    """The mapping worked out again: rows compared, and rows that are not in the model as they should be."""
    query = mapping(store, table)
    source = source_of(store, table)
    shape = connection.execute(
        sql.SQL(
            "WITH source AS (SELECT s._rowid, paralelo_stores.as_row(row_to_json(s.*)) AS r FROM {} AS s LIMIT 0),"
            " mapped AS ({}) SELECT * FROM mapped LIMIT 0"
        ).format(source, query)
    )
    names = [column.name for column in shape.description or () if column.name not in _META]
    target = sql.Identifier(*(table.target or "").split("."))

    def prefixed(letter: str) -> sql.Composed:
        return sql.SQL(", ").join(sql.Identifier(letter, name) for name in names)

    compare = statement(
        "engine.compare",
        source=source,
        mapping=query,
        target=target,
        columns_of_m=prefixed("m"),
        columns_of_t=prefixed("t"),
    )
    compared, different = _counts(connection, store, table, compare)
    return compared, different
