"""What a full sync would move, take and change: `python scripts/plan.py bi-credores`, or `all`."""

import sys

import _environment  # noqa: F401 - first: it may start the command anew

from paralelo.cli.plan import main

if __name__ == "__main__":
    sys.exit(main())
