"""Attach to the syncs that run: see --help."""

import sys

from paralelo.cli.monitor import main

if __name__ == "__main__":
    sys.exit(main())
