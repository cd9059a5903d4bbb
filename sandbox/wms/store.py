"""The stand-in's rows: tables in DuckDB, generated, changed on request, and written out as the API writes them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from sandbox.wms.entities import ENTITIES, Entity, Field, with_hash

OFFSET = "-03:00"
"""The offset the stand-in's facility writes its timestamps with; they are held in UTC."""
_SHIFT = "INTERVAL 3 HOUR"
DATABASE = "wms.duckdb"


class Store:
    """The database of one stand-in. Safe to use from many threads; changes go one at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self._connection = duckdb.connect(str(folder / DATABASE), config={"threads": 2, "memory_limit": "1GB"})
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("CREATE TABLE IF NOT EXISTS changed (entity VARCHAR, id BIGINT)")
        self._changing = threading.Lock()
        for entity in ENTITIES.values():
            columns = ", ".join(f'"{field.name}" {field.sql_type}' for field in entity.fields)
            self._connection.execute(f'CREATE TABLE IF NOT EXISTS "{entity.name}" ({columns})')

    def close(self) -> None:
        """Write everything to disk."""
        self._connection.close()

    def load(self, entity: Entity, rows: int, seed: int = 1) -> None:
        """Replace the entity's rows by that many generated ones."""
        values = ", ".join(_generated(field, seed) for field in entity.fields)
        with self._changing:
            cursor = self._connection.cursor()
            cursor.execute(f'DELETE FROM "{entity.name}"')
            cursor.execute("DELETE FROM changed WHERE entity = ?", [entity.name])
            cursor.execute(
                f'INSERT INTO "{entity.name}" SELECT {values}'
                f" FROM (SELECT i, {entity.id_sql} AS id FROM range({int(rows)}) AS t(i))"
            )
            cursor.execute("CHECKPOINT")

    def insert(self, entity: Entity, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows given field by field (relations by their id, sets by their size); absent fields are NULL."""
        with self._changing:
            cursor = self._connection.cursor()
            for row in rows:
                names = ", ".join(f'"{name}"' for name in row)
                marks = ", ".join("?" for _ in row)
                cursor.execute(f'INSERT INTO "{entity.name}" ({names}) VALUES ({marks})', list(row.values()))
                cursor.execute("INSERT INTO changed VALUES (?, ?)", [entity.name, row["id"]])

    def mutate(
        self, entity: Entity, *, updates: int = 0, deletes: int = 0, inserts: int = 0, seed: int = 1
    ) -> list[int]:
        """Change, delete and add that many rows, stamped now. Returns the ids it touched."""
        table = f'"{entity.name}"'
        with self._changing:
            cursor = self._connection.cursor()
            picked = [
                row[0]
                for row in cursor.execute(
                    f"SELECT id FROM {table} ORDER BY hash(id, {int(seed)}) LIMIT {int(updates) + int(deletes)}"
                ).fetchall()
            ]
            changed, gone = picked[:updates], picked[updates:]
            if changed:
                number = next(field.name for field in entity.fields if field.type == "integer")
                cursor.execute(
                    f"UPDATE {table} SET \"{number}\" = {int(seed) % 1000}, mod_user = 'changed',"
                    " mod_ts = current_timestamp::TIMESTAMP WHERE id IN (SELECT unnest(?::BIGINT[]))",
                    [changed],
                )
            if gone:
                cursor.execute(f"DELETE FROM {table} WHERE id IN (SELECT unnest(?::BIGINT[]))", [gone])
            added: list[int] = []
            if inserts:
                highest = cursor.execute(f"SELECT coalesce(max(id), {entity.first_id}) FROM {table}").fetchone()
                top = int(highest[0]) if highest else entity.first_id
                values = ", ".join(
                    "current_timestamp::TIMESTAMP" if field.name in ("mod_ts", "create_ts") else _generated(field, seed)
                    for field in entity.fields
                )
                cursor.execute(
                    f"INSERT INTO {table} SELECT {values}"
                    f" FROM (SELECT i, {top} + 1 + i AS id FROM range({int(inserts)}) AS t(i))"
                )
                added = list(range(top + 1, top + 1 + inserts))
            touched = changed + gone + added
            if touched:
                cursor.execute("INSERT INTO changed SELECT ?, unnest(?::BIGINT[])", [entity.name, touched])
        return touched

    def changed_ids(self, entity: Entity) -> list[int]:
        """Ids of rows that are no longer as they were loaded."""
        found = self._connection.cursor().execute("SELECT DISTINCT id FROM changed WHERE entity = ?", [entity.name])
        return [row[0] for row in found.fetchall()]

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        return self._connection.cursor().execute(sql, list(values)).fetchall()

    @contextmanager
    def written_rows(self, entity: Entity) -> Iterator[Any]:
        """An Arrow reader of (id, the row as JSON and a comma), newest first."""
        cursor = self._connection.cursor()
        written = json_of(entity, entity.fields, f"/wms/lgfapi/v10/entity/{entity.name}/")
        rows = cursor.sql(f"SELECT id, {written} || ',' AS written FROM \"{entity.name}\" ORDER BY id DESC")
        try:
            yield rows.to_arrow_reader(20_000)
        finally:
            cursor.close()


def _generated(field: Field, seed: int) -> str:
    return f'({with_hash(field.value, seed)})::{field.sql_type} AS "{field.name}"'


def json_of(entity: Entity, fields: Sequence[Field], path: str) -> str:
    """SQL for a row as the API writes it: relations with id, key and url, sets with their size, times with offset."""
    parts = [f"'{field.name}': {_written(entity, field)}" for field in fields]
    if len(fields) == len(entity.fields):
        parts.insert(1, f"'url': '{path}' || id")
    return f"to_json({{{', '.join(parts)}}})::VARCHAR"


def _written(entity: Entity, field: Field) -> str:
    column = f'"{field.name}"'
    if field.type == "datetime":
        return f"strftime({column} - {_SHIFT}, '%Y-%m-%dT%H:%M:%S.%f') || '{OFFSET}'"
    if field.type in ("date", "time"):
        return f"{column}::VARCHAR"
    if field.type == "decimal":
        return f"{column}::VARCHAR"
    if field.type == "relation":
        key = key_of(field)
        url = f"'/wms/lgfapi/v10/entity/{field.entity}/' || {column}"
        return f"CASE WHEN {column} IS NOT NULL THEN {{'id': {column}, 'key': {key}, 'url': {url}}} END"
    if field.type == "set":
        url = f"'/wms/lgfapi/v10/entity/{field.name.removesuffix('_set')}/?{entity.name}_id=' || id"
        return f"CASE WHEN {column} IS NOT NULL THEN {{'result_count': {column}, 'url': {url}}} END"
    return column


def key_of(field: Field) -> str:
    """SQL for a relation's key."""
    return f"'{str(field.entity).upper()}-' || \"{field.name}\""
