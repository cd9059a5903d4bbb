"""The pyodbc driver, for sites with an ODBC driver or data source of their own. Rows become Arrow in Python: slower."""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyodbc

from tap_mssql import errors
from tap_mssql.client import connection_string, has_columns, input_sizes

_DATETIMEOFFSET = -155


class PyodbcConnection:
    """A connection by pyodbc."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        pyodbc.pooling = False
        self._timeout = int(config["query_timeout_seconds"])
        self._raw = pyodbc.connect(
            connection_string(config), autocommit=True, timeout=int(config["connect_timeout_seconds"])
        )
        self._raw.timeout = self._timeout
        self._raw.add_output_converter(_DATETIMEOFFSET, _instant)
        for kind in (pyodbc.SQL_WCHAR, pyodbc.SQL_WVARCHAR, pyodbc.SQL_WLONGVARCHAR):
            self._raw.add_output_converter(kind, _text)

    def rows(
        self,
        sql: str,
        values: Sequence[Any] = (),
        *,
        table: str = "catalog",
        most: int | None = None,  # noqa: ARG002
    ) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        with self._explained(table):
            cursor = self._raw.cursor()
            try:
                _execute(cursor, sql, values)
                return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
            finally:
                # Here, in the driver's thread: an error's traceback would keep it open, and it the connection busy.
                cursor.close()

    def batches(
        self,
        sql: str,
        values: Sequence[Any],
        fetch_size: int,
        schema: pa.Schema,
        *,
        table: str,
        most: int | None = None,  # noqa: ARG002
        asked_on: bool = False,  # noqa: ARG002
    ) -> Generator[pa.RecordBatch, None, None]:
        """The result as record batches of the given schema."""
        with self._explained(table):
            cursor = self._raw.cursor()
            try:
                _execute(cursor, sql, values)
                has_columns(cursor.description, table)
                while rows := cursor.fetchmany(fetch_size):
                    yield _batch(rows, schema, table)
            finally:
                cursor.close()

    def close(self) -> None:
        """Close it; may be called twice."""
        try:
            self._raw.close()
        except pyodbc.Error:
            return

    @contextmanager
    def _explained(self, table: str) -> Iterator[None]:
        try:
            yield
        except pyodbc.Error as error:
            raise errors.reading(error, table, self._timeout) from error


def _execute(cursor: Any, sql: str, values: Sequence[Any]) -> None:
    if values:
        cursor.setinputsizes(input_sizes(values))
    cursor.execute(sql, *values)


def _batch(rows: Sequence[Any], schema: pa.Schema, table: str) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    try:
        arrays = [_array(list(column), field.type) for column, field in zip(columns, schema, strict=True)]
    except (ValueError, TypeError) as error:
        raise errors.SourceChanged(f"{table}: values do not fit the types the table was described with") from error
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """The values as Arrow; identifiers come as text and go as their 16 bytes."""
    if pa.types.is_fixed_size_binary(kind):
        values = [None if value is None else UUID(str(value)).bytes for value in values]
    return pa.array(values, type=kind)


def _instant(raw: bytes) -> datetime:
    """SQL_SS_TIMESTAMPOFFSET as Microsoft documents it: date, time, nanoseconds, offset; as an instant in UTC."""
    year, month, day, hour, minute, second, nanoseconds, hours, minutes = struct.unpack("<6hI2h", raw)
    local = datetime(year, month, day, hour, minute, second, nanoseconds // 1000, tzinfo=timezone.utc)
    return local - timedelta(hours=hours, minutes=minutes)


def _text(raw: bytes) -> str:
    """UTF-16 as SQL Server sends it, U+FFFD for half a character: pyodbc itself would refuse the row."""
    return raw.decode("utf-16-le", "replace")
