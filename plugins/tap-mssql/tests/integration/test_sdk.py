"""The SDK's own tests of a tap, against the stand-in.

Its test class asks the tap for its streams while it is collected, before any fixture could start a server. So the class
is collected by a pytest of its own, once the stand-in runs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

MODULE = """
import json
from pathlib import Path
from singer_sdk.testing import SuiteConfig, get_tap_test_class
from tap_mssql.tap import TapMssql

config = json.loads(Path(__file__).with_name("config.json").read_text())
suite = SuiteConfig(max_records_limit=10)
# Not the environment: the SDK would read the .env of whoever runs the tests, and test against their server.
TestTapMssql = get_tap_test_class(TapMssql, config=config, suite_config=suite, parse_env_config=False)
"""
COLUMNS = (
    "id int NOT NULL PRIMARY KEY, name varchar(10) NULL, at datetime2(3) NULL, day date NULL, amount decimal(38,2) NULL"
    ", who uniqueidentifier NULL, ok bit NULL, raw varbinary(8) NULL, mod_ts datetime2(7) NOT NULL"
)


def test_the_sdk_finds_nothing_wrong(source: Any, table: Callable[..., None]) -> None:
    table(
        "dbo.sdk_one",
        COLUMNS,
        "(1, 'a', '2024-01-01', '2024-01-01', 1.25, NEWID(), 1, 0x01, SYSDATETIME())",
        "(2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, SYSDATETIME())",
    )
    (source.folder / "config.json").write_text(json.dumps({**source.config, "tables": ["dbo.sdk_one"]}))
    (source.folder / "test_generated.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_generated.py"]
    done = subprocess.run(command, cwd=source.folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
