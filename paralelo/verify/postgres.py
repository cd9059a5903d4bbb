"""PostgreSQL as a side: aggregates by SQL, rows by COPY BINARY."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import psycopg
import pyarrow as pa
from psycopg import sql
from sync_rules.exits import SyncError
from target_postgres.connection import Connection, connect
from target_postgres.errors import tell
from target_postgres.settings import Settings

from paralelo.verify import keys as key_conditions
from paralelo.verify import statements
from paralelo.verify.canonical import canonical_schema, canonical_target
from paralelo.verify.columns import Column, TablePair
from paralelo.verify.copy_binary import HEADER, decode
from paralelo.verify.pools import Pool
from paralelo.verify.segments import TableSegment
from paralelo.verify.sides import Bounds, CannotCompare, Measured

_BATCH_ROWS = 16_384
_BATCH_BYTES = 16_777_216
_TRAILER = b"\xff\xff"

_COLUMNS = """
SELECT a.attname, t.typname, a.attnotnull, row_security_active(c.oid)
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_type AS d ON d.oid = a.atttypid
JOIN pg_catalog.pg_type AS t ON t.oid = CASE d.typtype WHEN 'd' THEN d.typbasetype ELSE d.oid END
WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""


class Postgres:
    """The target."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool: Pool[Connection] = Pool(self._open, _alive)

    def describe(self, schema: str, table: str) -> Mapping[str, tuple[str, bool]]:
        """Each column's type name and whether it is NOT NULL.

        Raises CannotCompare where there is no such table, or where not all of its rows are shown.
        """
        with self._pool.borrow() as connection:
            try:
                found = connection.execute(_COLUMNS, (schema, table)).fetchall()
            except psycopg.Error as error:
                raise tell(error, f"{schema}.{table}") from error
        if not found:
            raise CannotCompare(f"{schema}.{table} is not in the target: run its full sync first")
        if found[0][3]:
            raise CannotCompare(
                f"{schema}.{table}: row security hides rows from this role, which would pass for missing ones; grant it"
                " BYPASSRLS, or ownership without FORCE ROW LEVEL SECURITY"
            )
        return {column: (kind, not_null) for column, kind, not_null, _ in found}

    def holds_null(self, table: TablePair, column: Column) -> bool:
        """Whether any row has NULL in the column."""
        return bool(self._rows(statements.holds_null("target", table, column), table))

    def bounds(self, table: TablePair, *, counted: bool, segment: TableSegment | None = None) -> Bounds:
        """See `Side`."""
        statement = statements.bounds("target", table, counted=counted, segment=segment)
        rows, least, most = self._rows(statement, table)[0]
        return Bounds(int(rows or 0), None if least is None else int(least), None if most is None else int(most))

    def measure(self, segment: TableSegment, cuts: Sequence[int], since: str | None) -> Measured:
        """See `Side`."""
        return statements.measured("target", segment, cuts, since, lambda sql: self._rows(sql, segment.table))

    def read(self, segment: TableSegment, since: str | None, *, ordered: bool) -> Iterator[pa.RecordBatch]:
        """See `Side`."""
        yield from self._batches(segment.table, statements.rows("target", segment, since, ordered=ordered))

    def read_keys(self, table: TablePair, keys: pa.Table) -> pa.Table:
        """See `Side`."""
        batches = [
            batch
            for condition in key_conditions.conditions("target", table, keys)
            for batch in self._batches(table, statements.rows_that("target", table, condition))
        ]
        return pa.Table.from_batches(batches, canonical_schema(table.columns))

    def close(self) -> None:
        """See `Side`."""
        self._pool.close()

    def _open(self) -> Connection:
        connection = connect(self._settings, "verify")
        try:
            connection.execute("SET default_transaction_read_only = on")
            # Bounds arrive as plain statements: a compiled expression would cost more than a range takes.
            connection.execute("SET jit = off")
        except psycopg.Error as error:
            raise tell(error, "the target's session cannot be set up") from error
        return connection

    def _rows(self, statement: str, table: TablePair) -> list[tuple[Any, ...]]:
        with self._pool.borrow() as connection:
            try:
                return connection.execute(plain(statement)).fetchall()
            except psycopg.Error as error:
                raise _told(error, table) from error

    def _batches(self, table: TablePair, statement: str) -> Iterator[pa.RecordBatch]:
        schema = canonical_schema(table.columns)
        stored = [column.stored for column in table.columns]
        with self._pool.borrow() as connection:
            try:
                with connection.cursor().copy(plain(statement)) as copy:
                    for rows in _messages(copy):
                        yield canonical_target(decode(rows, schema, stored), table.columns)
            except psycopg.Error as error:
                raise _told(error, table) from error


def _alive(connection: Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def _messages(copy: psycopg.Copy) -> Iterator[list[bytes | bytearray | memoryview]]:
    """The rows' messages in lists of bounded size, without header and trailer."""
    held: list[bytes | bytearray | memoryview] = []
    size = 0
    first = True
    for message in copy:
        if first:
            # The header, its flags and its extension's length; the first row may come in the same message.
            first = False
            if bytes(message[: len(HEADER)]) != HEADER:
                raise CannotCompare("the target's COPY is not in PostgreSQL's binary format")
            message = message[len(HEADER) + 8 :]
        if len(message) <= 2 and bytes(message) in (b"", _TRAILER):
            continue
        held.append(message)
        size += len(message)
        if len(held) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def plain(statement: str) -> sql.SQL:
    """The statement as it is. psycopg asks for literals of the program; these are built by statements.py."""
    return sql.SQL(cast("Any", statement))


def _told(error: psycopg.Error, table: TablePair) -> SyncError:
    return tell(error, f"{table.target_schema}.{table.target_table}")
