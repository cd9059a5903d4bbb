"""The acceptance run: kill a full sync, let it recover, compare every cell. See --help."""

import sys

from paralelo.cli.accept import main

if __name__ == "__main__":
    sys.exit(main())
