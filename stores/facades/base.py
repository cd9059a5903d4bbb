"""What every facade has: a database instead of a file, and a life that does nothing."""

from __future__ import annotations

import logging
from pathlib import Path

from stores.engine import Database

_log = logging.getLogger("stores")
_warned: set[str] = set()


def warn_of_db_path(owner: str) -> None:
    """Say once for each class that `db_path` has no meaning any more."""
    if owner not in _warned:
        _warned.add(owner)
        _log.warning("%s: db_path is ignored; the store is in PostgreSQL, which DATABASE_URL names", owner)


class Facade:
    """A store. `db_path` is what the old classes took: it is accepted, ignored, and warned about once."""

    def __init__(self, db_path: str | Path | None = None, *, db: Database | None = None) -> None:
        if db_path is not None:
            warn_of_db_path(type(self).__name__)
        self._db = db

    async def initialize(self) -> None:
        """Nothing to do: `initialize_database()` makes the tables, the pool opens with the first statement."""

    async def close(self) -> None:
        """Nothing to do: the pool is the process's, not this store's."""
