"""What a full sync would move, take and change: `python scripts/plan.py bi-credores`, or `all`."""

import sys

from paralelo.cli.plan import main

if __name__ == "__main__":
    sys.exit(main())
