"""Streaming a query's rows.

A large ordered query is read slice by slice of its leading key, as an index would give it; see `Slices`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import pyarrow as pa

from . import results
from .translate import Query, Translator


class Stream:
    """One query's batches. Used once; `close` frees the connection for the next statement."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, sql: str, used: dict[str, Any], rows: int) -> None:
        self._cursor = cursor
        relation = cursor.sql(sql, params=used or None)
        self._reader = relation.to_arrow_reader(rows)
        self.schema: pa.Schema = self._reader.schema

    def read(self, cancelled: Callable[[], bool]) -> Iterator[pa.RecordBatch]:
        for batch in self._reader:
            if cancelled():
                return
            if batch.num_rows:
                yield batch

    def close(self) -> None:
        self._reader.close()
        results.quiet(self._cursor)


def batches(cursor: duckdb.DuckDBPyConnection, translator: Translator, query: Query, rows: int, inside: bool) -> Stream:
    return Stream(cursor, query.sql, translator.used, rows)
