"""`python -m stores.schema`: create the schemas and tables that are missing; `--downgrade base` drops them again."""

from __future__ import annotations

import argparse
import asyncio
import sys

import asyncpg
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from stores.engine import Database
from stores.models import SCHEMAS
from stores.refusals import refusal
from stores.settings import DatabaseSettings, SettingsError
from stores.tables import downgrade, initialize_database, tables_present

__all__ = ["initialize_database", "main"]


async def _main(back_to: str | None) -> int:
    db = Database(DatabaseSettings.from_environment())
    try:
        before = await tables_present(db)
        if back_to is None:
            await initialize_database(db)
        else:
            async with db.engine.begin() as connection:
                await connection.run_sync(downgrade, back_to)
        after = await tables_present(db)
    finally:
        await db.close()
    where = f"{db.settings.host}:{db.settings.port}/{db.settings.name}"
    changed = f"{after - before} of them made now" if back_to is None else f"{before - after} dropped now"
    sys.stdout.write(f"{where}: {after} tables in {', '.join(SCHEMAS)}; {changed}\n")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m stores.schema", description="Create schemas and tables.")
    parser.add_argument(
        "--downgrade", metavar="REVISION", help="take migrations back instead, with every row; `base` all"
    )
    given = parser.parse_args(arguments)
    try:
        return asyncio.run(_main(given.downgrade))
    except (SettingsError, CommandError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError, OSError) as error:
        told, code = refusal(error)
        sys.stderr.write(f"{told}\n")
        return int(code)


if __name__ == "__main__":
    sys.exit(main())
