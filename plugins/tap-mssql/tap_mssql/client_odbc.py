"""ODBC Driver 18 without a layer between: columns come into bound memory, whole blocks at a time, and become Arrow.

It is the driver that mssql-python's wheel brings. What that layer adds, and what the driver converts where it could
hand over the server's own bytes, is a quarter of the CPU that reading takes with it. Values without a bound, such as
varchar(max), come in small results only: tables that have them are read by mssql-python.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pyarrow as pa

from tap_mssql import errors, odbc, odbc_columns
from tap_mssql.client import ENCODING, connection_string, has_columns

_SMALL = 256
"""Rows of a small result that come at once."""


class OdbcConnection:
    """A connection by ODBC Driver 18's own functions."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._timeout = int(config["query_timeout_seconds"])
        self._raw = odbc.Connection(connection_string(config), int(config["connect_timeout_seconds"]))

    def rows(
        self, sql: str, values: Sequence[Any] = (), *, table: str = "catalog", most: int | None = None
    ) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        with self._explained(table):
            with self._raw.executed(sql, values, self._timeout) as statement:
                columns = statement.columns()
                plans = [odbc_columns.plan(column, None) for column in columns]
                if not columns:
                    found = []
                elif None in plans:
                    found = list(_by_value(statement, columns))
                else:
                    found = [
                        row
                        for batch in _blocks(statement, columns, {}, min(most or _SMALL, _SMALL))
                        for row in zip(*map(_python, batch.columns), strict=True)
                    ]
            if columns and len(found) != most:
                self._be_there()
            return found

    def batches(
        self,
        sql: str,
        values: Sequence[Any],
        fetch_size: int,
        schema: pa.Schema,
        *,
        table: str,
        most: int | None = None,
        asked_on: bool = False,
    ) -> Generator[pa.RecordBatch, None, None]:
        """The result as record batches in the types that the driver describes.

        A field of the schema that has `ENCODING` in its metadata is read in that code page. Raises NotOfCodePage for
        a text that is not of it.
        """
        with self._explained(table):
            came = 0
            with self._raw.executed(sql, values, self._timeout) as statement:
                columns = statement.columns()
                has_columns(columns, table)
                encodings = {f.name: f.metadata[ENCODING].decode() for f in schema if ENCODING in (f.metadata or {})}
                for batch in _blocks(statement, columns, encodings, fetch_size):
                    came += batch.num_rows
                    yield batch
                    del batch
            if came != most and not asked_on:
                self._be_there()

    def close(self) -> None:
        """Close it; may be called twice."""
        self._raw.close()

    def _be_there(self) -> None:
        """Raise the driver's error where the connection is gone: the end of a result is believed of a live one only."""
        with self._raw.executed("SELECT 1", (), self._timeout) as statement:
            list(_by_value(statement, statement.columns()))

    @contextmanager
    def _explained(self, table: str) -> Iterator[None]:
        try:
            yield
        except odbc.OdbcError as error:
            raise errors.reading(error, table, self._timeout) from error


def _blocks(
    statement: odbc.Statement, columns: Sequence[odbc.Described], encodings: Mapping[str, str], rows: int
) -> Iterator[pa.RecordBatch]:
    """The result's rows, so many at a time."""
    bound = []
    for column in columns:
        plan = odbc_columns.plan(column, encodings.get(column.name))
        if plan is None:
            raise odbc.OdbcError("HY000", f"{column.name} came with a type that it was not described with")
        bound.append(odbc_columns.BoundColumn(column, plan, rows))
    statement.block(rows)
    for number, column_bound in enumerate(bound, 1):
        column_bound.bind(statement, number)
    names = [column.name for column in columns]
    while came := statement.fetch():
        yield pa.RecordBatch.from_arrays([column_bound.array(came) for column_bound in bound], names=names)


def _python(column: pa.Array) -> list[Any]:
    """The values as the other drivers give them: a uniqueidentifier is no bytes."""
    if pa.types.is_fixed_size_binary(column.type):
        return [None if value is None else UUID(bytes=value) for value in column.to_pylist()]
    return column.to_pylist()  # type: ignore[no-any-return]


def _by_value(statement: odbc.Statement, columns: Sequence[odbc.Described]) -> Iterator[tuple[Any, ...]]:
    while statement.next_row():
        yield tuple(statement.value(number, column.kind) for number, column in enumerate(columns, 1))
