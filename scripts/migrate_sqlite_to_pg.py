"""Moves the old SQLite stores into PostgreSQL: see docs/sqlite-stores.md."""

import sys

import _environment  # noqa: F401 - first: it may start the command anew

from stores.migration.command import main

if __name__ == "__main__":
    sys.exit(main())
