"""The SDK's own tests of a tap."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from singer_sdk.testing import SuiteConfig, get_tap_test_class
from tap_sqlite.tap import TapSqlite

_FOLDER = tempfile.TemporaryDirectory(prefix="tap-sqlite-")  # gone with the process
_FILE = Path(_FOLDER.name) / "sdk.db"

with sqlite3.connect(_FILE) as _connection:
    _connection.executescript(
        "CREATE TABLE jobs (id INTEGER PRIMARY KEY, name TEXT NOT NULL, seconds REAL, ok BOOLEAN);"
        "INSERT INTO jobs VALUES (1, 'a', 1.5, 1), (2, 'b', NULL, 0);"
        "CREATE TABLE words (word TEXT PRIMARY KEY NOT NULL, n INTEGER) WITHOUT ROWID;"
        "INSERT INTO words VALUES ('x', 1), ('y', 2);"
    )
_connection.close()

TestTap = get_tap_test_class(
    TapSqlite,
    config={"path": str(_FILE)},
    suite_config=SuiteConfig(max_records_limit=10),
    # Not the environment: the SDK would read the .env of whoever runs the tests.
    parse_env_config=False,
)
