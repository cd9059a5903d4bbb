"""Staging tables that are no version's any more."""

from __future__ import annotations

import logging

from psycopg import errors as pg

from target_postgres import ddl, ledger
from target_postgres.activation.locking import wait_briefly
from target_postgres.catalog import TableName
from target_postgres.connection import Connection
from target_postgres.settings import Settings

logger = logging.getLogger("target-postgres")


def remove(connection: Connection, settings: Settings, live: TableName) -> None:
    """Drop the staging tables of the live table's given-up and merged versions.

    Not in the transaction that ended the version: one reader of the staging table (a dump of the database) would undo
    all of it. What is in use is left for a later run. The caller holds the table's lock.
    """
    for staging in ledger.left_over(connection, live):
        try:
            with connection.transaction():
                wait_briefly(connection, settings)
                ddl.drop_table(connection, staging)
            logger.info("%s: removed the staging table %s", live, staging)
        except (pg.LockNotAvailable, pg.DeadlockDetected):
            logger.info("%s: another session uses the old staging table %s: left for a later run", live, staging)
