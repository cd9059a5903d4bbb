"""Makes the schemas and tables: runs the Alembic migrations that are missing.

Under a lock, so that any number of processes may start at once.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from stores.engine import Database, database
from stores.models import Model

VERSIONS_SCHEMA = "paralelo_stores"
"""Where Alembic notes which migrations have run; the database may be shared with others who use Alembic."""

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('paralelo stores schema', 0))"


def configuration() -> Config:
    """Alembic's, without an ini file: the database comes from the environment, or from the caller's connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "alembic"))
    return config


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run what is missing, on this connection and in its transaction."""
    connection.execute(text(_LOCK))
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def downgrade(connection: Connection, revision: str = "base") -> None:
    """Take migrations back, with every row in their tables."""
    connection.execute(text(_LOCK))
    config = configuration()
    config.attributes["connection"] = connection
    command.downgrade(config, revision)


async def initialize_database(db: Database | None = None) -> None:
    """Create the schemas and tables that are missing. May be called at every start, by every process."""
    async with (db or database()).engine.begin() as connection:
        await connection.run_sync(upgrade)


async def tables_present(db: Database) -> int:
    """How many of the models' tables are there."""
    async with db.engine.connect() as connection:
        found = await connection.execute(
            text(
                "SELECT count(*) FROM pg_catalog.pg_tables"
                " WHERE schemaname || '.' || tablename = ANY (CAST(:names AS text[]))"
            ),
            {"names": list(Model.metadata.tables)},
        )
        return int(found.scalar_one())
