"""Showing a run while it lasts: a grid that is drawn again on a terminal, a plain line now and then anywhere else."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from typing import IO, Any, cast

from rich.console import Console
from rich.live import Live

from paralelo.snapshot import LIVE, Snapshot
from paralelo.view import footing, grid, plain

REDRAW_SECONDS = 1.0
PLAIN_SECONDS = 5.0
PLAIN_MOST_SECONDS = 60.0
PLAIN_WIDTH = 110
READ_WIDTH = 98
LEAST_WIDTH = 20
"""Room for the indents and a word: a terminal that has no size yet says that it has 0 columns."""


class TerminalConsole(Console):
    """A console that tells of a closed pipe as of any other error. Rich's own would end the process there."""

    def on_broken_pipe(self) -> None:
        if isinstance(error := sys.exc_info()[1], BrokenPipeError):
            raise error


class Unfailing:
    """A stream that nobody need listen to: a closed pipe, a full disk or a terminal that went is no error of ours.

    Each write is tried anew: a disk may have room again.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def unfailing(console: Console) -> Console:
    """The same console, which goes on when nobody looks: for what must not end because of it."""
    console.file = cast("IO[str]", Unfailing(console.file))
    return console


def terminal_console(*, errors: bool = False) -> Console:
    """Standard output, or with `errors` standard error, with colours only on a terminal and never with NO_COLOR.

    What is printed is shown as it is: names and keys may hold what rich takes for markup (`[kg]`) or a picture (`:a:`).
    """
    stream = sys.stderr if errors else sys.stdout
    if isinstance(stream, TextIOWrapper):
        # A name that the terminal's encoding lacks is shown as well as it can be.
        stream.reconfigure(errors="replace")
    console = TerminalConsole(file=stream, highlight=False, soft_wrap=True, markup=False, emoji=False)
    if not _on_terminal(console) or console.width < 1:
        # Nobody knows how wide a log is: rich would say 80, and cut the tables' columns. On 0 it would print nothing.
        console.width = PLAIN_WIDTH
    return console


def wrapped(console: Console, text: str, *, initial_indent: str = "", subsequent_indent: str = "") -> str:
    """Lines as wide as the terminal, and no wider than people read."""
    width = max(LEAST_WIDTH, min(READ_WIDTH, console.width))
    return textwrap.fill(text, width, initial_indent=initial_indent, subsequent_indent=subsequent_indent)


def can_redraw(console: Console) -> bool:
    """Whether the output is a terminal on which lines can be drawn over, and nobody said that this is CI."""
    return _on_terminal(console) and not console.is_dumb_terminal and not os.environ.get("CI")


def _on_terminal(console: Console) -> bool:
    """FORCE_COLOR asks for colours in a file too, which is no terminal for all that."""
    try:
        return console.is_terminal and console.file.isatty()
    except (OSError, ValueError):
        return False


def show(
    look: Callable[[], Snapshot],
    ended: Callable[[], bool],
    console: Console,
    *,
    every: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Snapshot:
    """Look and show until `ended`. Returns the last look, taken after the end.

    `every` is how many seconds lie between two looks: 1 by default on a terminal, 5 elsewhere. There, without it, lines
    become rarer, down to one a minute: nobody reads a night's log line by line.
    """
    if can_redraw(console):
        return _redraw(look, ended, console, every or REDRAW_SECONDS, sleep)
    return _print(look, ended, console, every or PLAIN_SECONDS, every or PLAIN_MOST_SECONDS, sleep)


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
            live.update(grid(snapshot, console.width), refresh=True)
            if over:
                return snapshot
            _wait(every, ended, sleep)


def _print(
    look: Callable[[], Snapshot],
    ended: Callable[[], bool],
    console: Console,
    every: float,
    at_most: float,
    sleep: Callable[[float], None],
) -> Snapshot:
    said: dict[tuple[str, str], object] = {}
    pause, left = every, 0.0
    while True:
        over = ended()
        snapshot = look()
        due = left <= 0
        both = len({line.mode for line in snapshot.lines}) > 1
        for line in snapshot.lines:
            # A pause or an end is told once, and at once; what moves is told again when it is time.
            now = ("moving" if line.phase in ("reading", "loading") else line.phase, line.attempt)
            changed = said.get((line.table, line.mode)) != now
            if line.phase != "waiting" and (changed or (due and line.phase in LIVE)):
                console.print(f"{snapshot.at:%H:%M:%S} {plain(line, with_mode=both)}")
                said[(line.table, line.mode)] = now
        if due:
            if snapshot.usage.processes:
                console.print(footing(snapshot))
            left, pause = pause, min(at_most, 2 * pause)
        if over:
            return snapshot
        left -= every
        _wait(every, ended, sleep)


def _wait(seconds: float, ended: Callable[[], bool], sleep: Callable[[float], None]) -> None:
    """Sleep, but no longer than a quarter of a second once everything has ended."""
    left = seconds
    while left > 0 and not ended():
        sleep(min(0.25, left))
        left -= 0.25
