"""What ran, when, how long, how many rows, how it ended: see --help."""

import sys

import _environment  # noqa: F401 - first: it may start the command anew

from paralelo.cli.history import main

if __name__ == "__main__":
    sys.exit(main())
