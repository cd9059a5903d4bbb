"""Showing a run while it lasts: a grid that is drawn again on a terminal, a plain line now and then anywhere else."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live

from paralelo.snapshot import LIVE, Snapshot
from paralelo.view import grid, plain

REDRAW_SECONDS = 1.0
PLAIN_SECONDS = 5.0
PLAIN_WIDTH = 110


def terminal_console() -> Console:
    """Standard output, with colours only on a terminal and never with NO_COLOR."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        # Nobody knows how wide a log is: rich would say 80, and cut the tables' columns.
        console.width = PLAIN_WIDTH
    return console


def can_redraw(console: Console) -> bool:
    """Whether the output is a terminal on which lines can be drawn over, and nobody said that this is CI."""
    return console.is_terminal and not console.is_dumb_terminal and not os.environ.get("CI")


def show(
    look: Callable[[], Snapshot],
    ended: Callable[[], bool],
    console: Console,
    *,
    every: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Snapshot:
    """Look and show until `ended`. Returns the last look, taken after the end.

    `every` is how many seconds lie between two looks: 1 by default on a terminal, 5 elsewhere.
    """
    if can_redraw(console):
        return _redraw(look, ended, console, every or REDRAW_SECONDS, sleep)
    return _print(look, ended, console, every or PLAIN_SECONDS, sleep)


def _redraw(
    look: Callable[[], Snapshot],
    ended: Callable[[], bool],
    console: Console,
    every: float,
    sleep: Callable[[float], None],
) -> Snapshot:
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            # Asked before the look: a job that ends in between is looked at once more.
            over = ended()
            snapshot = look()
            live.update(grid(snapshot), refresh=True)
            if over:
                return snapshot
            _wait(every, ended, sleep)


def _print(
    look: Callable[[], Snapshot],
    ended: Callable[[], bool],
    console: Console,
    every: float,
    sleep: Callable[[float], None],
) -> Snapshot:
    said: dict[str, object] = {}
    while True:
        over = ended()
        snapshot = look()
        for line in snapshot.lines:
            # A pause or an end is told once; what moves is told again and again.
            now = plain(line) if line.phase in LIVE else (line.phase, line.attempt)
            if said.get(line.table) != now and line.phase != "waiting":
                console.print(f"{snapshot.at:%H:%M:%S} {plain(line)}", markup=False)
                said[line.table] = now
        if over:
            return snapshot
        _wait(every, ended, sleep)


def _wait(seconds: float, ended: Callable[[], bool], sleep: Callable[[float], None]) -> None:
    """Sleep, but no longer than a quarter of a second once everything has ended."""
    left = seconds
    while left > 0 and not ended():
        sleep(min(0.25, left))
        left -= 0.25
