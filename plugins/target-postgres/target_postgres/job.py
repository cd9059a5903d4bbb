"""One stream's table, its rules and its source's words: what every step of a load needs to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync_rules.exits import ConfigurationError

from target_postgres.catalog import TableName
from target_postgres.names import LEDGER_SCHEMA, fold, table_of
from target_postgres.settings import LoadRules, Settings
from target_postgres.shape import Column, columns_of


@dataclass(frozen=True)
class Job:
    """What a SCHEMA asks for. `key` and `cursor` are names in the database; `version` is None unless it is a full sync
    of a tap of ours. `cursor_at_start` is the source's clock when that began, in the cursor's own terms, and
    `provable_as` the name by which `verify` knows the source's table, None where it cannot compare it. `held` is what
    has to be here of the sync that this one goes on from."""

    stream: str
    live: TableName
    mode: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    settings: Settings
    rules: LoadRules
    cursor: str | None = None
    version: int | None = None
    started_at: str | None = None
    lookback_seconds: int = 0
    resumable: bool = True
    estimate: int | None = None
    cursor_at_start: str | None = None
    goes_on_from: str | None = None
    held: Mapping[str, Any] = field(default_factory=dict)
    provable_as: str | None = None

    @property
    def ours(self) -> bool:
        """Whether the tap keeps the agreement of docs/protocol.md."""
        return self.mode != "records"

    @property
    def column_names(self) -> list[str]:
        """The columns that the source sends, in its order."""
        return [column.name for column in self.columns]


def job_of(stream: str, schema: Mapping[str, Any], key_properties: Sequence[str], settings: Settings) -> Job:
    """Read a SCHEMA message. Raises ConfigurationError for names, types or rules that cannot be."""
    said = schema.get("x-paralelo") or {}
    live = TableName(fold(settings.default_target_schema), table_of(stream))
    if live.schema == LEDGER_SCHEMA:
        raise ConfigurationError(f"{live}: the schema {LEDGER_SCHEMA} is the ledger's own; set another one")
    mode = said.get("sync_mode", "records")
    if mode not in ("full", "incremental", "records"):
        raise ConfigurationError(f"{live}: the tap's sync_mode is {mode!r}; it can be full or incremental")
    version = said.get("version") if mode == "full" else None
    if mode == "full" and not isinstance(version, int):
        raise ConfigurationError(f"{live}: the tap announces a full sync without a version")
    columns = columns_of(schema, key_properties, str(live), trust_nullability=mode != "records")
    cursor = said.get("cursor")
    names = {column.source: column.name for column in columns}
    if cursor is not None and cursor not in names:
        raise ConfigurationError(f"{live}: the cursor column {cursor!r} is not among the stream's columns")
    return Job(
        stream=stream,
        live=live,
        mode=mode,
        columns=tuple(columns),
        key=tuple(names[name] for name in key_properties),
        settings=settings,
        rules=settings.rules_for(str(live), said.get("load")),
        cursor=names.get(cursor) if cursor else None,
        version=version,
        started_at=said.get("started_at"),
        lookback_seconds=int(said.get("lookback_seconds") or 0),
        resumable=bool(said.get("resumable", True)),
        estimate=said.get("estimate"),
        cursor_at_start=said["cursor_at_start"] if isinstance(said.get("cursor_at_start"), str) else None,
        goes_on_from=said.get("goes_on_from"),
        held=said.get("held") or {},
        provable_as=said.get("provable_as"),
    )
