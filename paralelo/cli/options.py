"""What the commands have in common: recovery's settings, and errors told in one line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import NoReturn, TextIO, TypeVar

import psycopg
from sync_rules.exits import ConfigurationError, Exit, SyncError

from paralelo import progress, redact
from paralelo.live import terminal_console
from paralelo.policy import Policy
from paralelo.project import Mode, Table

_DEFAULT = Policy()
_QUERY_MARGIN_SECONDS = 60.0
"""From a query's last moment, in which the tap ends it by itself and says so, to the page in the target."""
T = TypeVar("T")


class Parser(argparse.ArgumentParser):
    """Usage errors end with the exit code for configuration, as everything else that is set wrongly does."""

    def error(self, message: str) -> NoReturn:
        # Not on standard output: that is for what was asked for, --json above all.
        self.print_usage(sys.stderr)
        self.exit(int(Exit.CONFIGURATION), f"{self.prog}: {message}\nSee {self.prog} --help\n")


def add_recovery(parser: argparse.ArgumentParser) -> None:
    """The options that make a Policy. Each can be set in the environment, for schedules."""
    group = parser.add_argument_group("recovery", "each also as an environment variable, e.g. PARALELO_MAX_RESTARTS")
    group.add_argument("--max-restarts", type=int, metavar="N", help=f"default {_DEFAULT.max_restarts}")
    group.add_argument(
        "--restart-delay",
        type=float,
        metavar="S",
        help=f"seconds before the first; doubles (default {_DEFAULT.delay:g})",
    )
    group.add_argument(
        "--stall",
        type=float,
        metavar="S",
        help=f"seconds without a commit that are a stall (default {_DEFAULT.stall:g})",
    )


def policy(options: argparse.Namespace, values: Mapping[str, str], tables: Iterable[Table], mode: Mode) -> Policy:
    """The policy that options and settings ask for; options win. Raises ConfigurationError."""
    query = max((table.query_seconds(mode, values) for table in tables), default=0.0)
    return Policy(
        first_stall=query + _QUERY_MARGIN_SECONDS if query else 0.0,
        max_restarts=_chosen(options.max_restarts, values, "PARALELO_MAX_RESTARTS", _DEFAULT.max_restarts, int),
        delay=_chosen(options.restart_delay, values, "PARALELO_RESTART_DELAY", _DEFAULT.delay, float),
        stall=_chosen(options.stall, values, "PARALELO_STALL", _DEFAULT.stall, float),
    )


def _chosen(given: T | None, values: Mapping[str, str], name: str, default: T, kind: Callable[[str], T]) -> T:
    if given is not None:
        return given
    text = values.get(name)
    if not text:
        return default
    try:
        return kind(text)
    except ValueError as error:
        raise ConfigurationError(f"{name} is not a number") from error


def guarded(command: Callable[[], int]) -> int:
    """Run a command; an error that can be told in a line is told in one, and gives the exit code."""
    try:
        return _guarded(command)
    finally:
        for stream in (sys.stdout, sys.stderr):
            _let_go(stream)


def _guarded(command: Callable[[], int]) -> int:
    try:
        return command()
    except SyncError as error:
        return _told(str(error), error.exit)
    except psycopg.errors.InsufficientPrivilege as error:
        return _told(f"the target's role lacks a right: {first_line(error)}", Exit.CONFIGURATION)
    except psycopg.Error as error:
        return _told(f"the target did not answer: {first_line(error)}", Exit.TARGET_UNREACHABLE)
    except BrokenPipeError:
        # Whoever read us has seen enough (`| head`).
        return 0
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _told(f"cannot use{where}: {error.strerror or error}", Exit.CONFIGURATION)
    except KeyboardInterrupt:
        return 130


def _let_go(stream: TextIO) -> None:
    """What nobody can be told goes nowhere, and quietly: Python would end with a code of its own for it."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _told(text: str, exit_: Exit) -> int:
    clean = redact.redactor(redact.secrets(_settings()))(text)
    with suppress(OSError, ValueError):
        terminal_console(errors=True).print(clean, style="red")
    return int(exit_)


def _settings() -> Mapping[str, str]:
    """All settings that can be had: what is wrong with `.env` may be what is being told."""
    try:
        return progress.settings()
    except (SyncError, OSError):
        return os.environ


def first_line(error: Exception) -> str:
    """What an error says, without the lines that explain it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
