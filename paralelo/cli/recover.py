"""`scripts/auto_recovery.py`: one job under recovery; and `check_recovery`, which says how every table stands."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import psycopg
from rich.text import Text
from sync_rules.exits import AlreadyRunning, ConfigurationError, SyncError, TargetUnreachable

from paralelo import history, notify, progress, project, runlock, snapshot, states, units
from paralelo.cli.options import Parser, add_recovery, first_line, guarded, policy
from paralelo.forecast import Forecast, forecast, key_text
from paralelo.live import terminal_console
from paralelo.policy import Policy
from paralelo.project import MODES, Mode, Table
from paralelo.report import print_json
from paralelo.run import run
from paralelo.track import Plan
from paralelo.view import Cell, fitting, rows, short, span

CHECK = "check_recovery"
_STYLES = {"running": "cyan", "finished": "green", "current": "green", "partial": "yellow", "activating": "yellow"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == [CHECK]:
        return guarded(lambda: _check(_check_parser().parse_args(given[1:])))
    return guarded(lambda: _told(parser().parse_args(given)))


def _told(options: argparse.Namespace) -> int:
    if options.dry_run:
        return _recover(options)
    with notify.of_settings(options.table, options.mode):
        return _recover(options)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser(
        prog="auto_recovery.py",
        description="Run one Meltano job under recovery.",
        epilog=f"`auto_recovery.py {CHECK} [TABLE] [--json]` says how every table stands and runs nothing.",
    )
    made.add_argument("mode", choices=MODES, help="what kind of sync")
    made.add_argument("table", help="the table as its job spells it: bi-credores")
    made.add_argument("job", help="its Meltano job: parallel-full-sync-bi-credores")
    made.add_argument("--dry-run", action="store_true", help="say what would happen and run nothing")
    made.add_argument("--json", action="store_true", help="the closing report, or the dry run, as JSON")
    made.add_argument("--schedule", metavar="NAME", help="with what this schedule's env sets")
    add_recovery(made)
    return made


def _check_parser() -> argparse.ArgumentParser:
    made = Parser(prog=f"auto_recovery.py {CHECK}", description="How every table stands, and what a run would do.")
    made.add_argument("table", nargs="?", default="all", help="one table (default: all)")
    made.add_argument("--json", action="store_true", help="as JSON, with every field")
    return made


def _recover(options: argparse.Namespace) -> int:
    mode: Mode = options.mode
    if options.schedule is not None:
        os.environ.update(units.environment(project.root(), options.schedule))
    table = _one(options.table)
    if table.job(mode) != options.job:
        raise ConfigurationError(f"the {mode} job of {table.name} is {table.job(mode)}, not {options.job}")
    chosen = policy(options, progress.settings(), [table], mode)
    if options.dry_run:
        return _dry_run(table, mode, chosen, as_json=options.json)
    plan = Plan(mode, (table,), 1, chosen)
    if held := runlock.running(table, plan.root, plan.logs_folder, plan.env):
        # A schedule's overlap is no event: one line, no log, nothing in the history.
        raise AlreadyRunning(f"{table.name} is already running: {held}")
    return run(plan, terminal_console(errors=options.json), print_json if options.json else None).exit_code


def _dry_run(table: Table, mode: Mode, chosen: Policy, *, as_json: bool) -> int:
    [standing], trouble = standings([table], [mode])
    if as_json:
        sys.stdout.write(json.dumps({**standing, "policy": asdict(chosen)}, default=str, indent=2) + "\n")
    else:
        _say_plan(table, mode, chosen, standing)
    if trouble is not None:
        raise trouble
    return 0


def _say_plan(table: Table, mode: Mode, chosen: Policy, standing: Mapping[str, Any]) -> None:
    pauses = ", ".join(span(chosen.pause(number, 0.5)) for number in range(1, chosen.max_restarts + 1))
    console = terminal_console()
    console.print(f"would run: meltano run {table.job(mode)}")
    console.print(f"it would {standing['would']}")
    first = max(chosen.stall, chosen.first_stall)
    console.print(f"a stall is {span(chosen.stall)} without a commit, {span(first)} before the first")
    console.print(f"restarts: {chosen.max_restarts}" + (f", after about {pauses}" if pauses else ""))


def _one(name: str) -> Table:
    found = project.named(name, project.tables())
    if len(found) != 1 or name == "all":
        raise ConfigurationError("auto_recovery.py takes one table; for several: run_with_monitoring.sh")
    return found[0]


def _check(options: argparse.Namespace) -> int:
    found, trouble = standings(project.named(options.table, project.tables()), MODES)
    if options.json:
        sys.stdout.write(json.dumps(found, default=str, indent=2) + "\n")
    else:
        console = terminal_console()
        console.print(fitting(console, found, _COLUMNS, numbers=("rows", "tries"), least=_LEAST))
        for entry in found:
            console.print(f"{entry['table']} {entry['mode']}: a run would {entry['would']}")
            if entry["last_error"]:
                console.print(f"  last error: {entry['last_error']}", style="red")
    if trouble is not None:
        raise trouble
    return 0


def standings(tables: Sequence[Table], modes: Sequence[Mode]) -> tuple[list[dict[str, Any]], SyncError | None]:
    """How each table stands: one entry for each mode it has. And why the target, if so, could not be asked."""
    settings, root = progress.settings(), project.root()
    environment = project.environment(settings, root)
    wanted = [(table, mode) for table in tables for mode in modes if mode in table.jobs]
    saved = states.bookmarks([table.state_id(mode, environment) for table, mode in wanted], root)
    found, last, locks, trouble = _from_target(wanted)
    entries = []
    for table, mode in wanted:
        bookmark = states.of_stream(saved.get(table.state_id(mode, environment), {}), table.stream)
        newest, run_ = found.get((table.name, mode)), last.get((table.name, mode), {})
        if trouble is not None:
            begun = bookmark is not None and not bookmark.get("done")
            prediction = Forecast("unknown", begun, "depend on the target, which cannot be asked")
        else:
            prediction = forecast(mode, bookmark, newest, _running(table, mode, locks.get(table.name)))
        entries.append(
            {
                "table": table.name,
                "mode": mode,
                "job": table.job(mode),
                "state_id": table.state_id(mode, environment),
                **asdict(prediction),
                "bookmark": bookmark,
                "rows": newest.committed if newest else None,
                "estimate": newest.estimate if newest else None,
                "attempts": run_.get("attempts"),
                "last_outcome": run_.get("outcome"),
                "last_error": run_.get("reason") if run_.get("outcome") != "finished" else None,
            }
        )
    return entries, trouble


_Key = tuple[str, str]


def _from_target(
    wanted: Sequence[tuple[Table, Mode]],
) -> tuple[
    Mapping[_Key, progress.Progress], Mapping[_Key, Mapping[str, Any]], Mapping[str, str], TargetUnreachable | None
]:
    found: dict[_Key, progress.Progress] = {}
    last: dict[_Key, Mapping[str, Any]] = {}
    locks: dict[str, str] = {}
    schema = progress.default_schema()
    try:
        with progress.connect() as connection:
            entries = snapshot.by_table(progress.newest(connection))
            for table, mode in wanted:
                entry = entries.get((schema, table.target, mode))
                if entry is not None:
                    found[(table.name, mode)] = entry
                last[(table.name, mode)] = next(iter(history.listed(connection, table.name, mode, 1)), {})
                if held := runlock.holder(connection, schema, table.target):
                    locks[table.name] = f"its lock is held by {held}"
    except TargetUnreachable as error:
        return found, last, locks, error
    except psycopg.OperationalError as error:
        return found, last, locks, TargetUnreachable(f"the target did not answer: {first_line(error)}")
    return found, last, locks, None


def _running(table: Table, mode: Mode, lock: str | None) -> str:
    living = runlock.processes_of(table, mode, project.root())
    if living:
        return runlock.named([process.pid for process in living], "runs it", "run it")
    return lock or ""


_COLUMNS: Mapping[str, Cell] = {
    "table": lambda entry: short(str(entry["table"])),
    "mode": lambda entry: str(entry["mode"]),
    "state": lambda entry: Text(entry["state"], style=_STYLES.get(entry["state"], "")),
    "rows": lambda entry: rows(entry["rows"]),
    "tries": lambda entry: rows(entry["attempts"]),
    "bookmark": lambda entry: _bookmark(entry["mode"], entry["bookmark"]),
    "resumes": lambda entry: "yes" if entry["can_resume"] else "no",
}
_LEAST = ("tries", "resumes", "rows")
"""What a narrow terminal does without, in this order."""


def _bookmark(mode: Mode, saved: Mapping[str, Any] | None) -> str:
    """Where it would go on: below a key, or from a moment."""
    if not saved:
        return "-"
    if mode == "incremental":
        return str(saved.get("cursor") or "-")
    if saved.get("done"):
        return "done"
    return f"below {key_text(saved['last_key'])}" if saved.get("last_key") else "first page"


if __name__ == "__main__":
    sys.exit(main())
