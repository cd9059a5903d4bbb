"""What ran, when, how long, how many rows, how it ended: see --help."""

import sys

from paralelo.cli.history import main

if __name__ == "__main__":
    sys.exit(main())
