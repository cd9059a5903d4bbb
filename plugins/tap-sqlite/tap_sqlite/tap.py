"""tap-sqlite: settings and discovery."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, ClassVar

from sync_rules.singer.tap import PagedTap

from tap_sqlite.catalog import describe, table_names
from tap_sqlite.database import Database, folded
from tap_sqlite.settings import SETTINGS
from tap_sqlite.streams import TableStream


class TapSqlite(PagedTap):
    """Singer tap for SQLite: any file, as stored, as Arrow batches; resumable and exact."""

    name = "tap-sqlite"
    config_jsonschema: ClassVar[dict[str, Any]] = SETTINGS

    def database(self) -> Database:
        """The file, opened anew: each stream reads in a transaction of its own."""
        return Database(
            self.config["path"],
            immutable=self.config["immutable"],
            busy_timeout_seconds=self.config["busy_timeout_seconds"],
        )

    def discover_streams(self) -> Sequence[TableStream]:
        """From the catalog where one is given; else from the file, only the tables asked for."""
        if self.input_catalog is not None:
            prefix = self.config["table_prefix"]
            wanted = {folded(name) for name in self.config.get("tables") or ()}
            entries = [
                (entry.table or entry.tap_stream_id.partition("-")[2].removeprefix(prefix), entry)
                for entry in self.input_catalog.streams
            ]
            return [
                TableStream(self, name, schema=entry.schema.to_dict())
                for name, entry in entries
                if not wanted or folded(name) in wanted
            ]
        database = self.database()
        try:
            names = self.config.get("tables") or table_names(database, views=self.config["include_views"])
            found = [describe(database, name) for name in names]
        finally:
            database.close()
        return [TableStream(self, one.name, description=one) for one in found]


if __name__ == "__main__":
    sys.exit(TapSqlite.cli())
