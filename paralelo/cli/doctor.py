"""`scripts/doctor.py`: is everything in place for a sync, and if not, what to do."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from paralelo import progress, project, redact
from paralelo.alerts import Limits
from paralelo.cli.options import Parser, guarded, policy
from paralelo.doctor import machine, source, target
from paralelo.doctor.finding import Check, Finding, exit_code, gathered
from paralelo.live import terminal_console, wrapped

_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red", "skipped": "dim"}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser(
        prog="doctor.py",
        description="Is everything in place for a sync: this machine, the settings, both servers, each table.",
        epilog="Exit code 0 without a problem (warnings are none); else what a sync would end with. It only reads.",
    )
    made.add_argument("table", nargs="?", default="all", help="only this table, as its job spells it (default: all)")
    made.add_argument("--quiet", action="store_true", help="only what is not well")
    made.add_argument("--json", action="store_true", help="every finding, as JSON")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code."""
    return guarded(lambda: _doctor(parser().parse_args(arguments)))


def findings(wanted: str = "all") -> list[Finding]:
    """Everything that was looked at. The two servers and this machine are asked at the same time."""
    root, values = project.root(), progress.settings()
    known = project.named(wanted, project.tables(root))
    # A source without any setting is one that the site does not use; without any source, SQL Server is what is missing.
    used = [table for table in known if table.configured(values)]
    tables = used or [table for table in known if table.plugin == "tap-mssql"] or known
    here: list[Check] = [
        ("python", lambda: machine.python(root)),
        ("plugins", lambda: machine.plugins(root, tables)),
        ("settings", lambda: machine.settings(root, values)),
        ("settings", lambda: _operations(values)),
        ("disk", lambda: machine.disk(root, values)),
        ("meltano locks", lambda: machine.meltano_locks(root, tables, values)),
        ("notices", lambda: machine.notices(values)),
    ]
    groups: list[list[Check]] = [
        here,
        [("source", lambda: source.checks(tables, values)), ("other sources", lambda: source.other(tables, values))],
        [("target", lambda: target.checks(tables, values))],
    ]
    clean = redact.redactor(redact.secrets(values))
    with ThreadPoolExecutor(len(groups)) as pool:
        found = [one for group in pool.map(lambda checks: list(gathered(checks)), groups) for one in group]
    return [Finding(one.check, one.level, clean(one.said), clean(one.fix), one.exit) for one in found]


def _operations(values: Mapping[str, str]) -> Iterable[Finding]:
    """Nothing. Raises ConfigurationError for numbers that every supervised run would refuse."""
    policy(argparse.Namespace(max_restarts=None, restart_delay=None, stall=None), values, (), "full")
    Limits.from_settings(values)
    return ()


def _doctor(options: argparse.Namespace) -> int:
    began = time.monotonic()
    found = findings(options.table)
    code = exit_code(found)
    if options.json:
        told = {"exit_code": code, "findings": [{**asdict(one), "exit": int(one.exit)} for one in found]}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return code
    console = terminal_console()
    for one in found:
        if not options.quiet or one.level in ("warning", "problem"):
            _tell(one, console)
    counts = {level: sum(one.level == level for one in found) for level in _STYLES}
    summary = f"problems: {counts['problem']}, warnings: {counts['warning']}, well: {counts['ok']}"
    console.print(f"{summary}; {time.monotonic() - began:.1f} s", style="bold")
    return code


def _tell(one: Finding, console: Console) -> None:
    text = wrapped(console, f"{one.check}: {one.said}", initial_indent=f"{one.level:<8} ", subsequent_indent=" " * 9)
    console.print(Text(text[:8], style=_STYLES[one.level]) + Text(text[8:]))
    if one.fix:
        told = wrapped(console, one.fix, initial_indent=" " * 9 + "fix: ", subsequent_indent=" " * 14)
        console.print(told, style="dim")


if __name__ == "__main__":
    sys.exit(main())
