"""For every test of the tap."""

from __future__ import annotations

import pytest
from tap_mssql import discovery


@pytest.fixture(autouse=True)
def _nothing_told_yet() -> None:
    """A warning that comes once a process comes in each test, whichever ran before it in the same process."""
    discovery._warn_once.cache_clear()
