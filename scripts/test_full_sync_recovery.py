"""The acceptance run: kill a full sync, let it recover, compare every cell. See --help."""

import sys

import _environment  # noqa: F401 - first: it may start the command anew

from paralelo.cli.accept import main

if __name__ == "__main__":
    sys.exit(main())
