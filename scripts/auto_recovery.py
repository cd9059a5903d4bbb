"""Run one job under recovery, or check how every table stands: see --help."""

import sys

import _environment  # noqa: F401 - first: it may start the command anew

from paralelo.cli.recover import main

if __name__ == "__main__":
    sys.exit(main())
