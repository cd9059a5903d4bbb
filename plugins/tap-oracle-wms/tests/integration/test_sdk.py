"""The SDK's own tests of a tap, full and incremental, against the stand-in.

Its test class asks the tap for its streams while it is collected, before any fixture could start a server. So the class
is collected by a pytest of its own, once the stand-in runs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODULE = """
import json
from pathlib import Path
from singer_sdk.testing import SuiteConfig, get_tap_test_class
from tap_oracle_wms.tap import TapOracleWms

config = json.loads(Path(__file__).with_name("config.json").read_text())
suite = SuiteConfig(max_records_limit=300)
# Not the environment: the SDK would read the .env of whoever runs the tests, and test against their server.
TestTapOracleWms = get_tap_test_class(TapOracleWms, config=config, suite_config=suite, parse_env_config=False)
"""


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_the_sdk_finds_nothing_wrong(config: dict[str, Any], tmp_path: Path, mode: str) -> None:
    settings = {**config, "entities": ["allocation", "order_hdr", "order_dtl"], "sync_mode": mode}
    settings["start_date"] = "2024-06-01T00:00:00Z"
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "test_generated.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_generated.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
