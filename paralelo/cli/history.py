"""`scripts/history.py`: what ran, when, for how long, how many rows, how it ended."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence

from rich.text import Text
from sync_rules.exits import ConfigurationError

from paralelo import history, progress, project, status
from paralelo.cli.options import Parser, guarded
from paralelo.live import terminal_console
from paralelo.project import MODES
from paralelo.view import Cell, fitting, rows, short, size, span

_STYLES = {"finished": "green", "failed": "red", "stopped": "yellow", "unfinished": "yellow", "running": "cyan"}
_MOST = 1_000_000_000


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser(prog="history.py", description="What ran, when, how long, how many rows, how it ended.")
    made.add_argument("table", nargs="?", help="only this table, as its job spells it: bi-credores")
    made.add_argument("--mode", choices=MODES, help="only this mode")
    made.add_argument("--limit", type=int, default=30, metavar="N", help="how many, the newest first (default 30)")
    made.add_argument("--json", action="store_true", help="as JSON, with every field")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code."""
    return guarded(lambda: _show(parser().parse_args(arguments)))


def _show(options: argparse.Namespace) -> int:
    if not 1 <= options.limit <= _MOST:
        raise ConfigurationError(f"--limit is at least 1 and at most {_MOST:,}")
    with progress.connect() as connection:
        name = _name(options.table)
        found = history.listed(connection, name, options.mode, options.limit)
    if not found and name is not None:
        # A table that was removed keeps its history; one that never was is a slip of the keyboard.
        project.named(name, project.tables())
    dead = set(status.dead(project.root() / "logs"))
    for row in found:
        if row["outcome"] == "running" and row["run"] in dead:
            row.update(outcome="failed", reason=history.DIED)
    if options.json:
        sys.stdout.write(json.dumps(found, default=str, indent=2) + "\n")
    elif found:
        console = terminal_console()
        console.print(fitting(console, found, _COLUMNS, numbers=_NUMBERS, least=_LEAST))
        for row in found:
            if row["reason"] and row["outcome"] in ("failed", "unfinished"):
                told = f"{row['began_at']:%Y-%m-%d %H:%M:%S} {row['name']} {row['mode']}: {row['reason']}"
                console.print(told, style="red")
    else:
        terminal_console().print("nothing has run yet")
    return 0


def _name(wanted: str | None) -> str | None:
    """How the history spells a table: as its job does, whichever way it was asked for."""
    if wanted in (None, "all"):
        return None
    try:
        [table] = project.named(str(wanted), project.tables())
    except ConfigurationError:
        return wanted
    return table.name


_COLUMNS: Mapping[str, Cell] = {
    "began": lambda row: f"{row['began_at']:%Y-%m-%d %H:%M}",
    "table": lambda row: short(str(row["name"])),
    "mode": lambda row: str(row["mode"]),
    "ended": lambda row: Text(row["outcome"], style=_STYLES.get(row["outcome"], "")),
    "rows": lambda row: rows(row["rows_read"]),
    "rejected": lambda row: rows(row["rows_rejected"]),
    "time": lambda row: span(row["seconds"]),
    "rows/s": lambda row: rows(row["rows_read"] / row["seconds"] if row["rows_read"] and row["seconds"] else None),
    "tries": lambda row: rows(row["attempts"]),
    "memory": lambda row: "-" if row["peak_memory"] is None else size(row["peak_memory"]),
}
_NUMBERS = ("rows", "rejected", "time", "rows/s", "tries", "memory")
_LEAST = ("memory", "tries", "rejected", "rows/s")
"""What a narrow terminal does without, in this order."""
