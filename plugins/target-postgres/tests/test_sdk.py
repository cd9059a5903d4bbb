"""The SDK's own tests for targets, against a real PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
import server as embedded
from singer_sdk.testing import get_target_test_class
from target_postgres.target import TargetPostgres

_config: dict[str, Any] = {}


@pytest.fixture(autouse=True, scope="module")
def _fill(server: embedded.Server) -> None:
    """The SDK wants the settings before any fixture runs: the server's are filled in when there is one."""
    _config.update(server.config(default_target_schema="sdk"))


TestSdk = get_target_test_class(TargetPostgres, config=_config, parse_env_config=False)
