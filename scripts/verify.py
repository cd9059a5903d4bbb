"""Compare tables and entities with their copies in PostgreSQL: `python scripts/verify.py all --deep`."""

import sys

import _environment  # noqa: F401 - first: it may start the command anew

from paralelo.verify.cli import main

if __name__ == "__main__":
    sys.exit(main())
