"""What a server, a database or a role is set to, and what the target makes of it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from target_postgres.connection import connect
from target_postgres.settings import Settings

Db = psycopg.Connection[Any]


# SPEC F3
@pytest.mark.parametrize(("given", "used"), [("off", "on"), ("local", "local"), ("on", "on")])
def test_state_does_not_outlive_a_commit(config: Any, db: Db, given: str, used: str) -> None:
    """Without synchronous commit a server's crash would lose rows whose STATE is saved."""
    db.execute(f"ALTER DATABASE {db.info.dbname} SET synchronous_commit = {given}")
    with connect(Settings.of(config), "test") as ours:
        assert ours.execute("SHOW synchronous_commit").fetchone() == (used,)
