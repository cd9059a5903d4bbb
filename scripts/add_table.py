"""Look at a table of the source, propose how to copy it, write its file: `python scripts/add_table.py dbo.clientes`."""

import sys

import _environment  # noqa: F401 - first: it may start the command anew

from paralelo.cli.add_table import main

if __name__ == "__main__":
    sys.exit(main())
