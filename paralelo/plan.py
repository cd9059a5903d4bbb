"""What a full sync of a table would move, take and change, before anything is moved."""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import psycopg
from sync_rules.exits import SyncError
from tap_mssql.client import Connection
from tap_mssql.discovery import TableDescription, TableName
from tap_mssql.table import MssqlTable, choose
from target_postgres import catalog
from target_postgres.activation import dependents
from target_postgres.catalog import LiveTable
from target_postgres.connection import Connection as TargetConnection
from target_postgres.job import Job
from target_postgres.names import fold, fold_all
from target_postgres.postgres_types import PostgresType
from target_postgres.settings import LoadRules, Settings
from target_postgres.shape import Column, changes

from paralelo import history, progress, source
from paralelo.project import Table, selected
from paralelo.propose import ColumnPlan, Looked, propose
from paralelo.score import comparable
from paralelo.view import counted

PROBE_PAGE_ROWS = 5_000
ROW_OVERHEAD = 28
"""Bytes that PostgreSQL keeps beside a row's values: its header and its place in the page."""
INDEX_BYTES = 24
"""Bytes of a row in the index of a small key."""
log = logging.getLogger("tap-mssql")


@dataclass(frozen=True)
class Rate:
    """Rows a second, and how it is known: `3 runs`, `a probe of 10 s`. `row_bytes` is what a probe saw of a row."""

    rows_a_second: float
    known_by: str
    row_bytes: float | None = None


@dataclass(frozen=True)
class TablePlan:
    """One table. None where nobody knows; bytes are those of the source's rows and of the target's disk.

    `refused` says why the sync would be refused as things stand; empty where it would not.
    """

    table: str
    source: str
    target: str
    rows: int | None
    bytes: int | None
    pages: int | None
    seconds: float | None = None
    known_by: str = ""
    disk_bytes: int | None = None
    kept_bytes: int | None = None
    columns: tuple[ColumnPlan, ...] = ()
    changes: str = ""
    activation: str = ""
    refused: str = ""
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def plan(
    table: Table,
    connection: Connection,
    target: TargetConnection | None,
    settings: Settings | None,
    probe_seconds: float,
    given: Mapping[str, Any] | None = None,
) -> TablePlan:
    """The plan of one table of SQL Server; without a target, what the source alone tells.

    `given` are the tap's settings where they are not the environment's.

    Raises ConfigurationError where the source has no such table, SourceUnreachable where it is gone.
    """
    own = source.own_config(table.extractors["full"])
    [looked] = source.look(connection, [TableName.parse(table.source)])
    config = source.config(own={**own, "sync_mode": "full"}, given=given)
    chosen = choose(looked.description, config, lambda _: True)
    looked = replace(looked, description=_selected(table, looked.description, {*chosen.key, chosen.cursor}))
    proposed = propose(looked, key=chosen.key, cursor=chosen.cursor)
    rows = looked.description.rows
    pages = None if rows is None else max(1, math.ceil(rows / int(config["page_size"])))
    made = TablePlan(
        table.name, table.source, table.target, rows, looked.bytes, pages,
        columns=proposed.columns, notes=proposed.notes,
    )  # fmt: skip
    rate = _past(table, rows) or (_probe(looked, config, connection, probe_seconds) if probe_seconds else None)
    if rate is not None and rows is not None:
        made = replace(made, seconds=rows / rate.rows_a_second, known_by=rate.known_by)
    row_bytes = rate.row_bytes if rate is not None else None
    if looked.bytes is None and row_bytes is not None and rows is not None:
        made = replace(made, bytes=int(rows * row_bytes))
    if target is None or settings is None:
        return replace(
            made, activation="unknown: the target cannot be asked", disk_bytes=_staged(made, bool(chosen.key))
        )
    return _with_target(made, target, _job(table, looked.description, chosen.key, settings, own))


def _selected(table: Table, description: TableDescription, always: set[str | None]) -> TableDescription:
    """Without the columns that the extractor's `select` leaves out; key and cursor are copied in any case."""
    taken = [c for c in description.columns if c.name in always or selected(table.select, table.stream, c.name)]
    return replace(description, columns=tuple(taken))


def _past(table: Table, rows: int | None) -> Rate | None:
    """The median of this table's own finished runs of about as many rows: Meltano's start and activation are in it."""
    try:
        with progress.connect() as connection:
            runs = history.rates(connection, table.name, "full")
    except (SyncError, psycopg.Error):
        return None
    rates = comparable(runs, rows)
    return Rate(statistics.median(rates), counted(len(rates), "run of its own", "runs of its own")) if rates else None


def _probe(looked: Looked, config: Mapping[str, Any], connection: Connection, seconds: float) -> Rate | None:
    """Read rows, as a sync does, and throw them away. One reader alone, and no loading."""
    settings = {**config, "page_size": PROBE_PAGE_ROWS, "max_parallelism": 1}
    chosen = choose(looked.description, settings, lambda _: True)
    table = MssqlTable(looked.description, chosen, settings, connection, lambda: connection, None, log)
    read, held, began = 0, 0, time.monotonic()
    pages = table.read_whole()
    for page in pages:
        read += sum(batch.num_rows for batch in page)
        held += sum(batch.nbytes for batch in page)
        if time.monotonic() - began >= seconds:
            break
    getattr(pages, "close", lambda: None)()
    took = time.monotonic() - began
    return Rate(read / took, f"a probe of {took:.1f} s, one reader, loading not counted", held / read) if read else None


def _job(table: Table, description: TableDescription, key: tuple[str, ...], settings: Settings, own: Any) -> Job:
    """The table as the target would be told of it."""
    folded = fold_all([column.name for column in description.columns], table.source)
    columns = tuple(
        Column(c.name, folded[c.name], PostgresType.of(c.type), c.nullable and c.name not in key)
        for c in description.columns
    )
    live = catalog.TableName(fold(settings.default_target_schema), table.target)
    rules: LoadRules = settings.rules_for(str(live), own.get("load"))
    return Job(table.stream, live, "full", columns, tuple(folded[name] for name in key), settings, rules)


def _with_target(made: TablePlan, connection: TargetConnection, job: Job) -> TablePlan:
    live = catalog.describe(connection, job.live)
    staged = _staged(made, bool(job.key))
    if live is None:
        return replace(made, activation="create: the table is not there yet", disk_bytes=staged, kept_bytes=staged)
    held, rows = _held(connection, live)
    if rows and made.rows is not None:
        staged = int(made.rows * held / rows)
    made = replace(made, disk_bytes=staged, kept_bytes=0 if staged is None else max(0, staged - held))
    try:
        shape = changes(live.columns, job.columns, str(job.live))
        way, against = dependents.choose(connection, job, live, shape)
        dependents.check_choice(connection, job, live, shape)
    except SyncError as error:
        return replace(made, refused=str(error), activation="none")
    told = way + (f": {', '.join(against[: dependents.SHOWN])}" if way == "merge" and against else "")
    return replace(made, changes=str(shape), activation=told, refused=_shrinks(made, job, rows))


def _shrinks(made: TablePlan, job: Job, live_rows: int) -> str:
    """Whether the checks before activation would refuse, by the counts that are known now."""
    rules = job.rules
    if rules.shrink_allowed or made.rows is None or live_rows <= 0:
        return ""
    allowed = "name it in allow_shrink if that is right"
    if not made.rows:
        return f"{job.live}: the source has no row and the live table about {live_rows:,}; {allowed}"
    if rules.stale_rows == "keep" or (live_rows - made.rows) * 100 <= live_rows * rules.max_shrink_percent:
        return ""
    return (
        f"{job.live}: it would shrink from about {live_rows:,} to about {made.rows:,} rows, more than"
        f" max_shrink_percent ({rules.max_shrink_percent:g}) allows; {allowed}"
    )


def _held(connection: TargetConnection, live: LiveTable) -> tuple[int, int]:
    """Bytes of the live table, indexes included, and about how many rows it has."""
    row = connection.execute(
        "SELECT pg_catalog.pg_total_relation_size(oid), greatest(reltuples, 0)::bigint"
        " FROM pg_catalog.pg_class WHERE oid = %s",
        [live.oid],
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _staged(made: TablePlan, keyed: bool) -> int | None:
    """About how many bytes the staging table takes: the values, what PostgreSQL keeps of a row, and the key's index."""
    if made.rows is None or made.bytes is None:
        return None
    return made.bytes + made.rows * (ROW_OVERHEAD + (INDEX_BYTES if keyed else 0))
