"""The tap, started in a process that has it loaded."""

from __future__ import annotations

import os
import sys

from tap_sqlite.tap import TapSqlite


def start(arguments: list[str], out: str, log: str) -> None:
    """Run the tap's command, standard output and error to files."""
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.dup2(os.open(out, os.O_WRONLY), 1)
    sys.argv = ["tap-sqlite", *arguments]
    TapSqlite.cli()
