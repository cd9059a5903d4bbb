"""An entity as a Singer stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sync_rules.singer.source import Source, json_schema
from sync_rules.singer.stream import PagedStream

from tap_oracle_wms.choices import KEY, choose
from tap_oracle_wms.discovery import describe
from tap_oracle_wms.fields import EntityDescription
from tap_oracle_wms.memory import give_back
from tap_oracle_wms.source import EntitySource

if TYPE_CHECKING:
    from tap_oracle_wms.tap import TapOracleWms


class EntityStream(PagedStream):
    """One entity. From a catalog it knows the name only; the entity is described afresh when it is read."""

    _tap: TapOracleWms

    def __init__(
        self,
        tap: TapOracleWms,
        entity: str,
        *,
        description: EntityDescription | None = None,
        schema: dict[str, Any] | None = None,
    ) -> None:
        self.entity = entity
        columns = [part.column for part in description.parts] if description is not None else []
        super().__init__(tap, schema=schema or json_schema(columns), name=entity)
        if description is not None:
            self.primary_keys = [KEY]
            cursor = description.field(str(tap.config["cursor_column"]))
            if cursor is not None and not self.is_full:
                self.replication_key = cursor.name

    @property
    def provable_as(self) -> str:
        """Entities have one name only."""
        return self.entity

    def open_source(self) -> Source:
        """Describe the entity and choose what is read of it."""
        give_back()
        client = self._tap.client()
        client.end_after(self.config["sync_limit_seconds"])
        description = describe(client, self.entity, self.config)
        self._tap.warn_of_unknown(description)
        return EntitySource(
            self.entity, choose(description, self.config, self.selects), self.config, client, self.logger
        )
