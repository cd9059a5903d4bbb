"""The staging table's statistics, gathered on a connection of their own while the checks read the same rows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from sync_rules.exits import SyncError

from target_postgres.catalog import TableName
from target_postgres.connection import connect
from target_postgres.job import Job

WORTH_ROWS = 100_000
"""Fewer are gathered sooner than a connection is made."""


class Gathered:
    """Whether the planner knows the staging table, once the block that gathered it is left."""

    done = False


@contextmanager
def gathered_beside(job: Job, staging: TableName, rows: int) -> Iterator[Gathered]:
    """Gather while the block runs. Where a second connection cannot be had, `done` stays false and nothing is lost."""
    found = Gathered()

    def gather() -> None:
        try:
            with connect(job.settings, f"analyze {job.live}") as connection:
                connection.execute(sql.SQL("ANALYZE {}").format(staging.sql))
            found.done = True
        except (SyncError, psycopg.Error):
            return

    if rows < WORTH_ROWS:
        yield found
        return
    thread = threading.Thread(target=gather, name="analyze", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        thread.join()
