"""Is everything in place for a sync, and if not, what to do: `python scripts/doctor.py`."""

import sys

import _environment  # noqa: F401 - first: it may start the command anew

from paralelo.cli.doctor import main

if __name__ == "__main__":
    sys.exit(main())
