"""Oracle WMS Cloud as a side: read over its API through the tap, so that both see one and the same thing.

The API adds nothing up: its quick check reads the key and the cursor of every row, its deep check every cell. Rows come
by ascending key in as many ranges at once as the tap may have requests in flight, within the limits that all jobs on
this machine share.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import timezone
from typing import Any

import pyarrow as pa
from sync_rules.column_types import ColumnType
from sync_rules.lookback import moment_of
from sync_rules.singer.source import Column as ReadColumn
from tap_oracle_wms.choices import KEY, choose
from tap_oracle_wms.discovery import describe
from tap_oracle_wms.source import EntitySource
from tap_oracle_wms.tap import TapOracleWms

from paralelo.verify.canonical import canonical_schema, canonical_source
from paralelo.verify.columns import Column, TablePair
from paralelo.verify.segments import TableSegment
from paralelo.verify.sides import Bounds, Measured

UNSEEN = ("a cell that changed and left the cursor as it was",)
_IDS_A_REQUEST = 200
"""Ids that are asked for by name: an address of two to four thousand characters, which every server takes."""

log = logging.getLogger("paralelo.verify")


@dataclass(frozen=True)
class EntityName:
    """An entity has no schema; its stream and its table are named like itself."""

    table: str
    schema: str = ""

    @property
    def stream(self) -> str:
        """The Singer stream's name."""
        return self.table


@dataclass(frozen=True)
class EntityColumn:
    """A column as the tap reads it. `selected` has no meaning to the API."""

    name: str
    type: ColumnType
    declared: str
    nullable: bool
    selected: str = ""


@dataclass(frozen=True)
class EntityTable:
    """The entity's columns and its key."""

    name: EntityName
    columns: tuple[EntityColumn, ...]
    natural_key: tuple[str, ...] = (KEY,)


class OracleWms:
    """The source. `config` holds the tap's settings; `nul_replacement` is what the target makes of a NUL character."""

    adds_up = False

    def __init__(self, entity: str, config: Mapping[str, Any], nul_replacement: str | None) -> None:
        whole = {**config, "sync_mode": "full", "entities": [entity], "tables": []}
        tap = TapOracleWms(config=whole)
        self.parallel = int(tap.config["max_requests_in_flight"])
        self._entity = entity
        self._config = dict(tap.config)
        self._nul = nul_replacement
        self.load: Mapping[str, Any] = config.get("load") or {}
        self._client = tap.client()
        self._description = describe(self._client, entity, self._config)
        self._everything = self._reader(None)

    def named(self, name: str) -> EntityTable:
        """The entity's columns under the settings; it is the only one there is."""
        columns = [
            # What a key is declared as says how ranges of it can be cut.
            EntityColumn(
                column.name, column.type, "bigint" if column.name == KEY else column.source_type, column.nullable
            )
            for column in self._everything.columns
        ]
        return EntityTable(EntityName(name), tuple(columns))

    def again(self, table: TablePair) -> EntityTable:
        """The same."""
        return self.named(table.source_table)

    def check(self, table: TablePair) -> None:
        """Nothing: a field that the user may not see is not there."""

    def clock(self, zone: str) -> str:  # noqa: ARG002  # the API's times are instants
        """The server's time now, in UTC."""
        return self._everything.bounds()[3].astimezone(timezone.utc).replace(tzinfo=None).isoformat()

    def holds_null(self, table: TablePair, column: Column) -> bool:  # noqa: ARG002
        """Never: the only key is `id`."""
        return False

    def bounds(self, table: TablePair, *, counted: bool, segment: TableSegment | None = None) -> Bounds:  # noqa: ARG002
        """See `Side`."""
        rows, least, most, _ = self._everything.bounds()
        return Bounds(rows, least, most)

    def measure(self, segment: TableSegment, cuts: Sequence[int], since: str | None) -> Measured:
        """Never asked for: the API adds nothing up."""
        raise NotImplementedError

    def read(self, segment: TableSegment, since: str | None, *, ordered: bool) -> Iterator[pa.RecordBatch]:  # noqa: ARG002
        """See `Side`."""
        reader = self._reader({column.source for column in segment.table.columns})
        low = None if since is None else _with_offset(since)
        for batch in reader.ascending(segment.range.lower, segment.range.upper, low):
            yield self._canonical(batch, segment.table)

    def read_keys(self, table: TablePair, keys: pa.Table) -> pa.Table:
        """See `Side`."""
        reader = self._reader({column.source for column in table.columns})
        batches = [self._canonical(batch, table) for batch in _rows_of(reader, keys)]
        return pa.Table.from_batches(batches, canonical_schema(table.columns))

    def read_as_tap(
        self,
        description: EntityTable,  # noqa: ARG002
        columns: Sequence[ReadColumn],
        table: TablePair,  # noqa: ARG002
        keys: pa.Table,
    ) -> Iterator[pa.RecordBatch]:
        """See `Source`."""
        yield from _rows_of(self._reader({column.name for column in columns}), keys)

    def close(self) -> None:
        """See `Side`."""
        self._client.close()

    def _reader(self, wanted: Set[str] | None) -> EntitySource:
        """The entity with these columns, all where None."""
        choices = choose(self._description, self._config, lambda name: wanted is None or name in wanted)
        return EntitySource(self._entity, choices, self._config, self._client, log)

    def _canonical(self, batch: pa.RecordBatch, table: TablePair) -> pa.RecordBatch:
        return canonical_source(batch.select([column.source for column in table.columns]), table.columns, self._nul)


def _rows_of(reader: EntitySource, keys: pa.Table) -> Iterator[pa.RecordBatch]:
    ids = keys.column(KEY).to_pylist()
    for start in range(0, len(ids), _IDS_A_REQUEST):
        yield from reader.with_ids(ids[start : start + _IDS_A_REQUEST])


def _with_offset(since: str) -> str:
    """The time as the API takes it. One without an offset is UTC: the API would read it in a facility's zone."""
    moment = moment_of(since)
    return (moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment).isoformat()
