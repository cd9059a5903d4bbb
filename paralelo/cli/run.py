"""`scripts/run_with_monitoring.sh`: several tables' syncs under recovery and one monitor."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sync_rules.exits import ConfigurationError

from paralelo import notify, progress, project
from paralelo.cli.options import Parser, add_recovery, guarded, policy
from paralelo.live import terminal_console, unfailing
from paralelo.project import MODES, Mode
from paralelo.report import print_json
from paralelo.run import default_at_once, run, tables_of
from paralelo.track import Plan

_EPILOG = """examples:
  run_with_monitoring.sh full all true             every table, several at once
  run_with_monitoring.sh full bi-credores false    one table
  run_with_monitoring.sh incremental all true --jobs 4

Each table's Meltano job runs under recovery: at most 3 restarts, from its
bookmark. Ctrl-C or SIGTERM stops everything at a page and keeps state; the same
command goes on from there.

exit codes: 0 finished, 2 settings, 3 source unreachable, 4 target unreachable,
5 already running, 6 limit reached, 7 check refused, 8 data refused, 9 stalled,
10 ledger and state do not meet, 1 anything else, 130 stopped on request."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser(
        prog="run_with_monitoring.sh",
        description="Copy tables with recovery and live progress.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("mode", choices=MODES, help="what kind of sync")
    made.add_argument("table", help="a table as its job spells it (bi-credores), or all")
    made.add_argument("parallel", choices=("true", "false"), help="several tables at once, or one after the other")
    made.add_argument("--jobs", type=int, metavar="N", help="tables at once (default: by cores and connections)")
    made.add_argument("--metrics-port", type=int, metavar="PORT", help="answer at 127.0.0.1:PORT/metrics meanwhile")
    made.add_argument("--json", action="store_true", help="the closing report as JSON; what it says goes to stderr")
    add_recovery(made)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code."""
    return guarded(lambda: _told(parser().parse_args(arguments)))


def _told(options: argparse.Namespace) -> int:
    with notify.of_settings(options.table, options.mode):
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    mode: Mode = options.mode
    settings = progress.settings()
    found = tables_of(options.table, mode)
    tables = [table for table in found if options.table != "all" or table.configured(settings)]
    if not tables:
        raise ConfigurationError(f"no table has a {mode} job and a source with settings: see extract/ and .env.example")
    for table in tables:
        table.job(mode)
    if options.jobs is not None and options.jobs < 1:
        raise ConfigurationError("--jobs is at least 1")
    if options.jobs is not None and options.parallel == "false":
        raise ConfigurationError("--jobs is for parallel runs: say true, or leave it out")
    at_once = 1 if options.parallel == "false" else options.jobs or default_at_once(mode, len(tables))
    plan = Plan(
        mode, tuple(tables), at_once, policy(options, settings, tables, mode), metrics_port=options.metrics_port
    )
    console = unfailing(terminal_console(errors=options.json))
    names = ", ".join(table.name for table in tables)
    environment = project.environment(settings)
    for table in found:
        if table not in tables:
            console.print(f"{table.name} is left out: {table.plugin} has no setting", style="dim")
    console.print(f"{mode} sync of {names} ({environment}), {at_once} at once", style="bold")
    return run(plan, console, print_json if options.json else None).exit_code


if __name__ == "__main__":
    sys.exit(main())
