"""`python -m stores.samples <folder>`: write the ten files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stores.samples.generate import generate


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m stores.samples", description="Write sample SQLite stores.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=200, help="rows in the larger tables (default 200)")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    for path, rows in generate(arguments.folder, arguments.rows, arguments.seed).items():
        sys.stdout.write(f"{path}: {rows} rows\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
