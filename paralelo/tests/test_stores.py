"""What a run leaves in the stores, where the target database has them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import psycopg

from paralelo import history
from stores import AuditEntryRepository, MetricsStore, TWSStore
from stores.engine import Database
from stores.settings import DatabaseSettings
from stores.tables import initialize_database


def test_a_run_is_told_to_the_stores_where_the_target_has_them(
    env: dict[str, str], db: psycopg.Connection[Any]
) -> None:
    """As TWSStore, MetricsStore and AuditEntryRepository read it; once, however often its end is written."""
    settings = DatabaseSettings(
        env["TARGET_POSTGRES_HOST"], int(env["TARGET_POSTGRES_PORT"]), env["TARGET_POSTGRES_DATABASE"],
        env["TARGET_POSTGRES_USER"], env["TARGET_POSTGRES_PASSWORD"],
    )  # fmt: skip
    record = history.Record("r1", "toy", "public", "toy", "full", "full-sync-toy", "dev", "here")
    ended = replace(record, outcome="failed", exit=3, reason="no source", rows_read=400, rows_written=400, seconds=2.0)
    assert history.write("begin", record, env) is None
    assert history.write("end", ended, env) is None, "without stores, history is kept all the same"

    async def told() -> tuple[list[Any], list[Any], list[Any]]:
        stores = Database(settings)
        try:
            await initialize_database(stores)
            for _ in range(2):
                assert history.write("end", ended, env) is None
            jobs = await TWSStore(db=stores).get_failed_jobs()
            rates = await MetricsStore(db=stores).get_metric_values("paralelo.rows_per_second")
            return jobs, rates, await AuditEntryRepository(db=stores).get_entity_history("table", "public.toy")
        finally:
            await stores.close()

    [job], [rate], [entry] = asyncio.run(told())
    assert (job.job_name, job.workstation, job.return_code, job.meta["rows_written"]) == (
        "full-sync-toy",
        "here",
        3,
        400,
    )
    assert rate["value"] == 200.0
    assert (entry.action, entry.new_value["run"]) == ("sync.failed", "r1")
