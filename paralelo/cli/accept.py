"""`scripts/test_full_sync_recovery.py`: kill a full sync, let it recover, compare every cell."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from sync_rules.exits import ConfigurationError

from paralelo import acceptance, project
from paralelo.cli.options import Parser, guarded
from paralelo.live import terminal_console
from paralelo.policy import Policy


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser(
        prog="test_full_sync_recovery.py",
        description="Prove recovery: a full sync is killed twice and halted once, then both sides are compared.",
        epilog=f"It only reads the source. In the target it writes to a schema of its own, {acceptance.SCHEMA}, "
        "and drops it at the end. Settings come from .env, as for every run.",
    )
    made.add_argument("--table", default="bi-credores", help="the table to copy (default bi-credores)")
    made.add_argument(
        "--restart-delay", type=float, default=1.0, metavar="S", help="seconds before restarts (default 1)"
    )
    made.add_argument("--stall", type=float, default=45.0, metavar="S", help="what counts as a stall (default 45)")
    made.add_argument("--json", action="store_true", help="the report as JSON; what it says meanwhile goes to stderr")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns 0 if all passed."""
    return guarded(lambda: _accept(parser().parse_args(arguments)))


def _accept(options: argparse.Namespace) -> int:
    found = project.named(options.table, project.tables())
    if len(found) != 1 or options.table == "all":
        raise ConfigurationError("one table, not all")
    policy = Policy(max_restarts=5, delay=options.restart_delay, factor=1.0, jitter=0.0, stall=options.stall, grace=5.0)
    console = terminal_console(errors=options.json)
    checks = acceptance.run(found[0], policy, console)
    if options.json:
        sys.stdout.write(json.dumps(acceptance.as_json(checks), indent=2) + "\n")
    return 0 if all(check.passed for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
