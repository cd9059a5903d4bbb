"""tap-oracle-wms: settings, discovery, and one client a stream."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sync_rules.exits import ConfigurationError
from sync_rules.singer.tap import PagedTap

from tap_oracle_wms.discovery import describe, entities
from tap_oracle_wms.settings import SETTINGS, problems
from tap_oracle_wms.streams import EntityStream

if TYPE_CHECKING:
    from tap_oracle_wms.client import Client
    from tap_oracle_wms.fields import EntityDescription


class TapOracleWms(PagedTap):
    """Singer tap for Oracle WMS Cloud's REST API: very large entities as Arrow batches, resumable and exact."""

    name = "tap-oracle-wms"
    config_jsonschema: ClassVar[dict[str, Any]] = SETTINGS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._warned: set[str] = set()
        super().__init__(*args, **kwargs)

    def client(self) -> Client:
        """A client of its own: each keeps its connections."""
        from tap_oracle_wms.client import Client

        return Client(self.config, self.logger)

    def discover_streams(self) -> Sequence[EntityStream]:
        """From the catalog where one is given; else from the API, only the entities asked for."""
        wanted = list(self.config.get("entities") or self.config.get("tables") or ())
        if self.input_catalog is not None:
            return [
                EntityStream(self, entry.tap_stream_id, schema=entry.schema.to_dict())
                for entry in self.input_catalog.streams
                if not wanted or entry.tap_stream_id in wanted
            ]
        client = self.client()
        try:
            if wanted:
                found = [describe(client, name, self.config, fresh=False) for name in wanted]
            else:
                found = self._described(client, entities(client))
        finally:
            client.close()
        for description in found:
            self.warn_of_unknown(description)
        return [EntityStream(self, one.name, description=one) for one in found]

    def _described(self, client: Client, names: Sequence[str]) -> list[EntityDescription]:
        """Those of the entities that can be read: that the user may not read one says nothing of the others.

        Raises the ConfigurationError of the last where none can be read.
        """
        found, refused = [], None
        for name in names:
            try:
                found.append(describe(client, name, self.config, fresh=False))
            except ConfigurationError as error:
                refused = error
                self.logger.warning("%s: left out: %s", name, error)
        if refused is not None and not found:
            raise refused
        return found

    def warn_of_unknown(self, description: EntityDescription) -> None:
        """Say once which fields have a type nobody knows."""
        if description.unknown and description.name not in self._warned:
            self._warned.add(description.name)
            self.logger.warning(
                "%s: %s of a type that is not known: copied as text", description.name, ", ".join(description.unknown)
            )

    def problems(self, config: dict[str, Any]) -> list[str]:
        """Settings that only together are wrong."""
        return problems(config)


if __name__ == "__main__":
    sys.exit(TapOracleWms.cli())
