"""What is read of an entity, by the settings and the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sync_rules.exits import ConfigurationError

from tap_oracle_wms.fields import EntityDescription, Part
from tap_oracle_wms.query import ListQuery, filters_of

KEY = "id"


@dataclass(frozen=True)
class Choices:
    """What is read of an entity: which columns, which cursor, under which filters."""

    parts: tuple[Part, ...]
    cursor: str | None
    query: ListQuery


def choose(description: EntityDescription, config: Mapping[str, Any], selects: Any) -> Choices:
    """Columns, cursor and filters by the settings and the catalog. Raises ConfigurationError for what is not there."""
    entity = description.name
    wanted = (config.get("fields") or {}).get(entity)
    cursor_name = str(config["cursor_column"])
    field = description.field(cursor_name)
    cursor = cursor_name if field is not None and field.kind == "datetime" else None
    if cursor is None and config["sync_mode"] == "incremental":
        raise ConfigurationError(f"{entity} has no timestamp {cursor_name}: it can be copied in full only")
    always = {KEY, *([cursor] if cursor else ())}
    if wanted is not None:
        missing = [name for name in wanted if description.field(name) is None]
        if missing:
            raise ConfigurationError(f"setting fields.{entity} names {', '.join(missing)}, which {entity} has not")
    parts = tuple(
        part
        for part in description.parts
        if part.field.name in always or ((wanted is None or part.field.name in wanted) and selects(part.column.name))
    )
    columns = [part.column.name for part in parts]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise ConfigurationError(
            f"{entity}: two fields would become the column {twice[0]}: leave one out with `fields`"
        )
    names = tuple(dict.fromkeys(part.field.name for part in parts))
    query = ListQuery(
        page_size=int(config["page_size"]),
        page_mode=str(config["page_mode"]),
        filters=filters_of(config, description),
        fields=None if len(names) == len(description.fields) else names,
    )
    return Choices(parts, cursor, query)
