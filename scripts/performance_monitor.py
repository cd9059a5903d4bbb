"""Attach to the syncs that run: see --help."""

import sys

import _environment  # noqa: F401 - first: it may start the command anew

from paralelo.cli.monitor import main

if __name__ == "__main__":
    sys.exit(main())
