"""SQL Server as a side: read through the tap, so that both see one and the same thing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from sync_rules.exits import SyncError
from sync_rules.singer.source import Column as ReadColumn
from sync_rules.singer.source import arrow_schema
from tap_mssql import hidden
from tap_mssql.arrow_values import cast_batch
from tap_mssql.client import Connection, connect
from tap_mssql.discovery import TableDescription, TableName, describe_one
from tap_mssql.settings import SETTINGS

from paralelo.verify import keys as key_conditions
from paralelo.verify import statements
from paralelo.verify.canonical import canonical_schema, canonical_source
from paralelo.verify.columns import Column, TablePair
from paralelo.verify.measures import bracket
from paralelo.verify.pools import Pool
from paralelo.verify.segments import TableSegment
from paralelo.verify.sides import Bounds, Measured

_FETCH_LARGE = 256
"""Rows a fetch where a value may be of any size."""
_QUERY_SECONDS = 3600
"""As long as a full sync's query may take: it reads as much."""

_PROVEN = "mssql-python"
"""What a sync read by any other driver of that wheel is compared with: not with its own mistakes."""

log = logging.getLogger("paralelo.verify")


class SqlServer:
    """The source. `config` holds the tap's settings; `nul_replacement` what the target makes of a NUL character."""

    adds_up = True
    parallel = 1

    def __init__(self, config: Mapping[str, Any], nul_replacement: str | None) -> None:
        self._config = with_defaults(config)
        if self._config["driver"] != "pyodbc":
            self._config["driver"] = _PROVEN
        self._nul = nul_replacement
        self.load: Mapping[str, Any] = config.get("load") or {}
        self._pool: Pool[Connection] = Pool(lambda: connect(self._config, log), _alive)

    def named(self, name: str) -> TableDescription:
        """See `Source`."""
        return self.describe(TableName.parse(name))

    def again(self, table: TablePair) -> TableDescription:
        """See `Source`."""
        return self.describe(TableName(table.source_schema, table.source_table))

    def describe(self, name: TableName) -> TableDescription:
        """The table as the catalog has it. Raises ConfigurationError where there is none."""
        with self._pool.borrow() as connection:
            return describe_one(connection, name)

    def check(self, table: TablePair) -> None:
        """See `Source`."""
        with self._pool.borrow() as connection:
            hidden.check(
                connection,
                TableName(table.source_schema, table.source_table),
                [column.source for column in table.columns],
                log,
            )

    def clock(self, zone: str) -> str:
        """The server's time now, as the cursor column is stamped by it (`local` or `utc`), in ISO 8601."""
        function = "SYSUTCDATETIME()" if zone == "utc" else "SYSDATETIME()"
        with self._pool.borrow() as connection:
            return str(connection.rows(f"SELECT CONVERT(varchar(33), {function}, 126)")[0][0])

    def holds_null(self, table: TablePair, column: Column) -> bool:
        """Whether any row has NULL in the column."""
        with self._pool.borrow() as connection:
            return bool(connection.rows(statements.holds_null("source", table, column), table=table.name))

    def bounds(self, table: TablePair, *, counted: bool, segment: TableSegment | None = None) -> Bounds:
        """See `Side`."""
        with self._pool.borrow() as connection:
            statement = statements.bounds("source", table, counted=counted, segment=segment)
            rows, least, most = connection.rows(statement, table=table.name)[0]
        return Bounds(int(rows or 0), None if least is None else int(least), None if most is None else int(most))

    def measure(self, segment: TableSegment, cuts: Sequence[int], since: str | None) -> Measured:
        """See `Side`."""
        with self._pool.borrow() as connection:
            return statements.measured(
                "source", segment, cuts, since, lambda sql: connection.rows(sql, table=segment.table.name)
            )

    def read(self, segment: TableSegment, since: str | None, *, ordered: bool) -> Iterator[pa.RecordBatch]:
        """See `Side`."""
        yield from self._batches(segment.table, statements.rows("source", segment, since, ordered=ordered))

    def read_keys(self, table: TablePair, keys: pa.Table) -> pa.Table:
        """See `Side`."""
        batches = [
            batch
            for condition in key_conditions.conditions("source", table, keys, self._nul)
            for batch in self._batches(table, statements.rows_that("source", table, condition))
        ]
        return pa.Table.from_batches(batches, canonical_schema(table.columns))

    def close(self) -> None:
        """See `Side`."""
        self._pool.close()

    def read_as_tap(
        self, description: TableDescription, columns: Sequence[ReadColumn], table: TablePair, keys: pa.Table
    ) -> Iterator[pa.RecordBatch]:
        """See `Source`. What the server hides from this login is refused, as the tap does."""
        names = [column.name for column in columns]
        with self._pool.borrow() as connection:
            hidden.check(connection, description.name, names, log)
        listed = ", ".join(f"{one.selected} AS {bracket(one.name)}" for one in description.columns if one.name in names)
        for condition in key_conditions.conditions("source", table, keys, self._nul):
            sql = f"SELECT {listed} FROM {description.name.quoted} WHERE {condition}"  # noqa: S608 - quoted and escaped
            yield from self._cast(sql, columns, table.name)

    def _batches(self, table: TablePair, sql: str) -> Iterator[pa.RecordBatch]:
        columns = [ReadColumn(c.source, c.kind, c.nullable, c.declared) for c in table.columns]
        for batch in self._cast(sql, columns, table.name):
            yield canonical_source(batch, table.columns, self._nul)

    def _cast(self, sql: str, columns: Sequence[ReadColumn], table: str) -> Iterator[pa.RecordBatch]:
        schema = arrow_schema(columns)
        large = any(column.type.name in ("text", "json") or "max" in column.source_type for column in columns)
        fetch = _FETCH_LARGE if large else int(self._config["fetch_size"])
        with self._pool.borrow() as connection:
            for batch in connection.batches(sql, (), fetch, schema, table=table):
                yield cast_batch(batch, schema)


def _alive(connection: Connection) -> bool:
    try:
        connection.rows("SELECT 1")
    except SyncError:
        return False
    return True


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """The tap's settings with the tap's own defaults for those that were not given."""
    settings = {name: setting.get("default") for name, setting in SETTINGS["properties"].items()}
    settings.update({name: value for name, value in config.items() if value is not None})
    settings["query_timeout_seconds"] = settings.get("query_timeout_seconds") or _QUERY_SECONDS
    if settings.get("isolation") == "snapshot":
        settings["isolation_used"] = "snapshot"
    return settings
