"""Rows that PostgreSQL cannot store: found, kept with their reason, counted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg.types.json import Json
from sync_rules.exits import DataRefused

from target_postgres.catalog import TableName
from target_postgres.connection import Connection
from target_postgres.encode import Frame
from target_postgres.errors import is_about_data, reason
from target_postgres.postgres_types import PostgresType
from target_postgres.queries import query
from target_postgres.settings import SYMBOL_FOR_NULL


@dataclass(frozen=True)
class Reject:
    """A row refused: its key and all its values as text, for the reject table alone."""

    reason: str
    key: dict[str, Any]
    values: dict[str, Any]


def isolate(
    connection: Connection, frame: Frame, attempt: Callable[[Frame], None], key: Sequence[str], room: int, table: str
) -> tuple[Frame, list[Reject]]:
    """The rows that can be stored, and those that cannot, found by halves.

    `attempt` tries to store some rows, beside those that were stored before them: a row may be good or bad by another
    of its batch. All is rolled back at the end, so that the final load can be one transaction. Raises DataRefused as
    soon as more than `room` rows are refused.
    """
    good: list[pa.Table] = []
    bad: list[Reject] = []

    def search(part: Frame) -> None:
        try:
            with connection.transaction():
                attempt(part)
        except psycopg.Error as error:
            if not is_about_data(error):
                raise
            if part.rows == 1:
                bad.append(_reject(part, reason(error), key))
                check_room(len(bad), room, table, bad[-1].reason)
                return
            half = part.rows // 2
            search(part.slice(0, half))
            search(part.slice(half, part.rows - half))
        else:
            good.append(part.data)

    with connection.transaction(force_rollback=True):
        search(frame)
    return frame.with_data(pa.concat_tables(good) if good else frame.data.slice(0, 0)), bad


def take_out(frame: Frame, rows: dict[int, str], key: Sequence[str]) -> tuple[Frame, list[Reject]]:
    """The frame without these rows, each given with its reason."""
    if not rows:
        return frame, []
    bad = [_reject(frame.slice(row, 1), why, key) for row, why in rows.items()]
    mask = pa.array([row not in rows for row in range(frame.rows)], pa.bool_())
    return frame.with_data(frame.data.filter(mask)), bad


def without_key(frame: Frame, key: Sequence[str]) -> dict[int, str]:
    """Rows with NULL in a key column, each with its reason: a unique index lets them in, and never finds them again."""
    found: dict[int, str] = {}
    for name in key:
        column = frame.data.column(name)
        if column.null_count:
            rows = pc.indices_nonzero(pc.is_null(column)).to_pylist()
            found.update({row: f"NULL in the key (column {name})" for row in rows if row not in found})
    return found


def check_room(count: int, room: int, table: str, why: str) -> None:
    """Raise DataRefused when more rows are refused than may be. The line says why, and no row's values."""
    if count > room:
        raise DataRefused(
            f"{table}: a row cannot be stored and max_rejects is exceeded: {why}; mend the row at the source, or raise"
            " max_rejects to keep such rows in paralelo.reject and go on"
        )


def keep(connection: Connection, sync_id: int, batch: int | None, live: TableName, rejects: Sequence[Reject]) -> None:
    """Write the rejects, in the transaction that writes the rows beside them."""
    if not rejects:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            query("ledger.add_reject"),
            [
                {
                    "sync": sync_id,
                    "batch": batch,
                    "schema": live.schema,
                    "table": live.table,
                    "key": _json(reject.key),
                    "reason": reject.reason,
                    "row": _json(reject.values),
                }
                for reject in rejects
            ],
        )


def _json(values: dict[str, Any]) -> Json:
    """As `json`, which keeps even what `jsonb` refuses (an escaped NUL)."""
    return Json(values, dumps=lambda value: json.dumps(value, default=_text))


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _reject(part: Frame, why: str, key: Sequence[str]) -> Reject:
    columns = zip(part.data.column_names, part.data.columns, strict=True)
    row = {name: _in_json(_python(column[0])) for name, column in columns}
    return Reject(why, {name: _key_text(row.get(name), part.types[name]) for name in key if name in row}, row)


def _python(value: pa.Scalar) -> Any:
    """Its value; as text where it is a date or a time beyond the years of Python's."""
    try:
        return value.as_py()
    except (OverflowError, ValueError):
        return value.cast(pa.string()).as_py()


def _in_json(value: Any) -> Any:
    """JSON has no infinity and no NaN: they are kept by the names that PostgreSQL reads."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _key_text(value: Any, kind: PostgresType) -> Any:
    """A key value as PostgreSQL reads it back: activation looks for the live rows that were rejected."""
    if isinstance(value, bytes):
        return ("\\x" if kind.name == "bytea" else "") + value.hex()
    # `->>` fails at a NUL character; no row of the live table has one.
    return value.replace("\0", SYMBOL_FOR_NULL) if isinstance(value, str) else value
