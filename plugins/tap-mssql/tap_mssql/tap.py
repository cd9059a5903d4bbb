"""tap-mssql: settings, discovery, and one connection a stream."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sync_rules.exits import ConfigurationError
from sync_rules.singer.tap import PagedTap

from tap_mssql.discovery import TableName, describe
from tap_mssql.settings import SETTINGS
from tap_mssql.streams import TableStream

if TYPE_CHECKING:
    from tap_mssql.client import Connection

_LARGEST_TLS_PACKET = 16_383
"""Microsoft's limit for a connection with TLS: with larger packets a long result can stop coming, without a word."""


class TapMssql(PagedTap):
    """Singer tap for SQL Server: very large tables as Arrow batches, resumable and exact."""

    name = "tap-mssql"
    config_jsonschema: ClassVar[dict[str, Any]] = SETTINGS
    _isolation: str | None = None
    database_collation: str | None = None

    def connection(self, driver: str | None = None) -> Connection:
        """A new connection by the `driver` setting, or another driver, in the isolation that `isolation` leads to."""
        from tap_mssql.client import connect

        if self._isolation is None:
            first = connect(self.config, self.logger)
            self._isolation = self._choose_isolation(first)
            if self._isolation != "snapshot":
                return first
            first.close()
        changed = {"isolation_used": self._isolation, "driver": driver or self.config["driver"]}
        return connect({**self.config, **changed}, self.logger)

    def discover_streams(self) -> Sequence[TableStream]:
        """From the catalog where one is given; else from the database, only the tables asked for."""
        wanted = [TableName.parse(name) for name in self.config.get("tables") or ()]
        if self.input_catalog is not None:
            return [self._stream_of(entry) for entry in _asked_for(self.input_catalog.streams, wanted)]
        connection = self.connection()
        try:
            found = describe(connection, wanted, self.config.get("schemas") or ())
        finally:
            connection.close()
        return [TableStream(self, one.name, description=one) for one in found]

    def problems(self, config: dict[str, Any]) -> list[str]:
        """Settings that only together are wrong."""
        found = []
        if not config.get("dsn") and not config.get("host"):
            found.append("setting host is missing")
        if not config.get("dsn") and not config.get("database"):
            found.append("setting database is missing")
        if config.get("dsn") and config.get("driver") != "pyodbc":
            found.append("setting dsn needs driver pyodbc")
        if config.get("driver") == "pyodbc" and not config.get("dsn") and not config.get("odbc_driver"):
            found.append("driver pyodbc needs odbc_driver (a driver's name or file) or dsn")
        if config.get("encrypt") != "no" and int(config.get("packet_size") or 0) > _LARGEST_TLS_PACKET:
            found.append(f"setting packet_size is {_LARGEST_TLS_PACKET:,} at most where encrypt is not no")
        for name in config.get("tables") or ():
            try:
                TableName.parse(name)
            except ConfigurationError as error:
                found.append(str(error))
        return found

    def _choose_isolation(self, connection: Connection) -> str:
        """Which isolation the reads run in; said in the log."""
        from tap_mssql import survey

        wanted = self.config["isolation"]
        allowed, versioned, self.database_collation = survey.database(connection)
        used = wanted
        if wanted == "auto":
            used = "snapshot" if allowed == 1 else "read_committed"
        if used == "snapshot" and allowed not in (1, None):
            raise ConfigurationError(
                f"database {self.config.get('database')} does not allow snapshot isolation: set isolation to"
                " read_committed, or ALLOW_SNAPSHOT_ISOLATION ON"
            )
        how = "row versions" if used == "snapshot" or versioned else "shared locks"
        self.logger.info("reading in isolation %s (%s)", used, how)
        return str(used)

    def _stream_of(self, entry: Any) -> TableStream:
        """A stream by its catalog entry."""
        root = entry.metadata.get(())
        schema = getattr(root, "schema_name", None) if root is not None else None
        if entry.table and schema:
            name = TableName(schema, entry.table)
        else:
            before, _, after = entry.tap_stream_id.partition("-")
            name = TableName(before, after)
        return TableStream(self, name, schema=entry.schema.to_dict())


def _asked_for(entries: Iterable[Any], wanted: Sequence[TableName]) -> list[Any]:
    """With `tables` set, a catalog made for more tables leads to those only; one made for others is refused."""
    if not wanted:
        return list(entries)
    streams = {name.stream.casefold(): str(name) for name in wanted}
    found = [entry for entry in entries if entry.tap_stream_id.casefold() in streams]
    missing = set(streams) - {entry.tap_stream_id.casefold() for entry in found}
    if missing:
        names = ", ".join(sorted(streams[stream] for stream in missing))
        raise ConfigurationError(f"setting tables: the catalog does not have {names}: make it anew")
    return found


if __name__ == "__main__":
    sys.exit(TapMssql.cli())
