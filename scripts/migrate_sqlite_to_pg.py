"""Moves the old SQLite stores into PostgreSQL: see docs/sqlite-stores.md."""

import sys
from pathlib import Path

import _environment  # noqa: F401 - first: it may start the command anew

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stores.migration.command import main

if __name__ == "__main__":
    sys.exit(main())
