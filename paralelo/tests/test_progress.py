"""How the target is looked at: by a session that cannot write, over TLS from elsewhere."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import psycopg
import pytest
from sync_rules.exits import ConfigurationError

from paralelo import progress
from paralelo.watch import LedgerView


@pytest.mark.usefixtures("db")
def test_who_looks_cannot_write_and_waits_for_no_statement_for_ever(env: dict[str, str]) -> None:
    with progress.connect(env) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == {"statement_timeout": "20s"}
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM paralelo.sync")


def test_a_password_goes_to_another_machine_over_tls_alone(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server here has none. Its other spelling is not known to be this machine. # SPEC O2"""
    monkeypatch.delenv("TARGET_POSTGRES_SSL_MODE", raising=False)
    found = {**env, "TARGET_POSTGRES_SSL_MODE": "auto"}
    progress.connect(found).close()
    with pytest.raises(ConfigurationError, match="does not support SSL"):
        progress.connect({**found, "TARGET_POSTGRES_HOST": "127.1"})


def test_a_table_is_covered_by_syncs_that_took_effect_alone(env: dict[str, str], db: psycopg.Connection[Any]) -> None:
    began = [datetime(2024, 5, day, tzinfo=timezone.utc) for day in range(1, 6)]
    ends = ("activated", "finished", "staging", "running", "abandoned")
    for status, at in zip(ends, began, strict=True):
        db.execute(
            "INSERT INTO paralelo.sync (table_schema, table_name, stream, mode, status, started_at)"
            " VALUES ('public', 'toy', 'toy', %s, %s, %s)",
            ["full" if status in ("activated", "staging", "abandoned") else "incremental", status, at],
        )
    with progress.connect(env) as connection:
        assert progress.covered(connection)["public", "toy"].covered_until == began[1]


def test_of_a_sync_that_is_not_the_newest_any_more_a_monitor_keeps_nothing(
    env: dict[str, str], db: psycopg.Connection[Any]
) -> None:
    view = LedgerView(env)
    for _ in range(5):
        db.execute(
            "INSERT INTO paralelo.sync (table_schema, table_name, stream, mode, status)"
            " VALUES ('public', 'toy', 'toy', 'incremental', 'running')"
        )
        view.refresh(datetime.now(timezone.utc))
    assert len(view._history) == 1
    view.close()
