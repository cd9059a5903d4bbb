"""Which rows of others a session sees, as the server itself enforces it."""

from __future__ import annotations

from typing import Any

import pytest
from sync_rules.exits import ConfigurationError
from tap_mssql.tap import TapMssql

READ = "SELECT COUNT(*) FROM sys.tables"


def test_snapshot_is_read_in_where_it_is_asked_for_and_allowed(source: Any) -> None:
    """A session in snapshot is refused once the database no longer allows it; one in READ COMMITTED reads on."""

    def opened(isolation: str) -> Any:
        return TapMssql(config={**source.config, "isolation": isolation}).connection()

    database = source.config["database"]
    in_snapshot, read_committed = [opened("snapshot"), opened("auto")], [opened("read_committed")]
    source.execute(f"ALTER DATABASE {database} SET ALLOW_SNAPSHOT_ISOLATION OFF")
    try:
        for connection in in_snapshot:
            with pytest.raises(ConfigurationError, match="does not allow snapshot isolation"):
                connection.rows(READ)
        read_committed.append(opened("auto"))
        for connection in read_committed:
            assert connection.rows(READ)
        with pytest.raises(ConfigurationError, match="does not allow snapshot isolation: set isolation to read_comm"):
            opened("snapshot")
    finally:
        source.execute(f"ALTER DATABASE {database} SET ALLOW_SNAPSHOT_ISOLATION ON")
        for connection in (*in_snapshot, *read_committed):
            connection.close()


def test_no_transaction_is_left_open(source: Any, table: Any) -> None:
    """One would hold the server's locks, or its row versions, for as long as the sync takes."""
    table("dbo.plain", "id int NOT NULL PRIMARY KEY", "(1)")
    connection = TapMssql(config=source.config).connection()
    try:
        assert connection.rows("SELECT id FROM dbo.plain") == [(1,)]
        assert connection.rows("SELECT @@TRANCOUNT") == [(0,)]
    finally:
        connection.close()
