"""`python -m stores.schema`: create the schemas and tables that are missing."""

from __future__ import annotations

import argparse
import asyncio
import sys

from sqlalchemy.exc import SQLAlchemyError

from stores.engine import Database
from stores.models import SCHEMAS
from stores.settings import DatabaseSettings, SettingsError
from stores.tables import initialize_database, tables_present

__all__ = ["initialize_database", "main"]


async def _main() -> int:
    db = Database(DatabaseSettings.from_environment())
    try:
        before = await tables_present(db)
        await initialize_database(db)
        after = await tables_present(db)
    finally:
        await db.close()
    where = f"{db.settings.host}:{db.settings.port}/{db.settings.name}"
    sys.stdout.write(f"{where}: {after} tables in {', '.join(SCHEMAS)}; {after - before} of them made now\n")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    argparse.ArgumentParser(prog="python -m stores.schema", description="Create schemas and tables.").parse_args(
        arguments
    )
    try:
        return asyncio.run(_main())
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (SQLAlchemyError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        sys.stderr.write(f"the database cannot be set up: {' '.join(str(cause).split())}\n")
        return 4


if __name__ == "__main__":
    sys.exit(main())
