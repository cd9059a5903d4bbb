"""What a check found, and what it means for the exit code."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg
from sync_rules.exits import Exit, SyncError

Level = Literal["ok", "warning", "problem", "skipped"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. A `problem` keeps a sync from working; its `exit` is what that sync would end with.

    A `warning` costs time or safety. `fix` is what to do, empty where nothing is to be done.
    """

    check: str
    level: Level
    said: str
    fix: str = ""
    exit: Exit = Exit.CONFIGURATION


def ok(check: str, said: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", said)


def warning(check: str, said: str, fix: str) -> Finding:
    """It works, but not as well as it could."""
    return Finding(check, "warning", said, fix)


def problem(check: str, said: str, fix: str, exit_: Exit = Exit.CONFIGURATION) -> Finding:
    """A sync would fail."""
    return Finding(check, "problem", said, fix, exit_)


def skipped(check: str, why: str) -> Finding:
    """It could not be looked at."""
    return Finding(check, "skipped", why)


_FIXES = {
    Exit.SOURCE_UNREACHABLE: "is the server running, its host and port right in .env, and no firewall between?",
    Exit.TARGET_UNREACHABLE: "is the server running, TARGET_POSTGRES_HOST and _PORT right, and no firewall between?",
}

Check = tuple[str, Callable[[], Iterable[Finding]]]


def gathered(checks: Sequence[Check]) -> Iterator[Finding]:
    """Every check's findings; one that cannot finish is a finding itself, and the next one runs all the same."""
    for name, look in checks:
        try:
            yield from look()
        except SyncError as error:
            yield problem(name, str(error), _FIXES.get(error.exit, _fix_setting(name)), error.exit)
        except psycopg.Error as error:
            yield skipped(name, f"the server refused the question: {str(error).splitlines()[0]}")
        except OSError as error:
            yield skipped(name, f"{error.strerror or type(error).__name__}: {error.filename or 'no file'}")
        except subprocess.TimeoutExpired:
            yield skipped(name, "it took too long")


def _fix_setting(check: str) -> str:
    if check == "target":
        return "mend TARGET_POSTGRES_USER, _PASSWORD, _DATABASE, _PORT or _SSL_MODE in .env, as the line says"
    return "mend the setting that the line names"


def exit_code(found: Iterable[Finding]) -> int:
    """0 without a problem; else what a sync would end with: one that no restart mends before one that it may."""
    exits = [one.exit for one in found if one.level == "problem"]
    final = [exit_ for exit_ in exits if not exit_.restart_helps]
    return int(next(iter(final or exits), Exit.FINISHED))
