"""`scripts/auto_recovery.py`: one job under recovery; and `check_recovery`, which says how every table stands."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import psycopg
from rich.table import Table as Grid
from rich.text import Text
from sync_rules.exits import ConfigurationError, TargetUnreachable

from paralelo import history, progress, project, runlock, snapshot, states
from paralelo.cli.options import Parser, add_recovery, guarded, policy
from paralelo.forecast import Forecast, forecast
from paralelo.live import terminal_console
from paralelo.policy import Policy
from paralelo.project import MODES, Mode, Table
from paralelo.run import run
from paralelo.track import Plan
from paralelo.view import rows, span

CHECK = "check_recovery"
_STYLES = {"running": "cyan", "finished": "green", "current": "green", "partial": "yellow", "activating": "yellow"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == [CHECK]:
        return guarded(lambda: _check(_check_parser().parse_args(given[1:])))
    return guarded(lambda: _recover(parser().parse_args(given)))


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
    add_recovery(made)
    return made


def _check_parser() -> argparse.ArgumentParser:
    made = Parser(prog=f"auto_recovery.py {CHECK}", description="How every table stands, and what a run would do.")
    made.add_argument("table", nargs="?", default="all", help="one table (default: all)")
    made.add_argument("--json", action="store_true", help="as JSON, with every field")
    return made


def _recover(options: argparse.Namespace) -> int:
    mode: Mode = options.mode
    table = _one(options.table)
    if table.job(mode) != options.job:
        raise ConfigurationError(f"the {mode} job of {table.name} is {table.job(mode)}, not {options.job}")
    chosen = policy(options, progress.settings())
    if options.dry_run:
        return _dry_run(table, mode, chosen, as_json=options.json)
    console = terminal_console()
    if options.json:
        console.file = sys.stderr
    found = run(Plan(mode, (table,), 1, chosen), console)
    if options.json:
        from paralelo.report import as_json

        sys.stdout.write(json.dumps(as_json(found), default=str, indent=2) + "\n")
    return found.exit_code


def _dry_run(table: Table, mode: Mode, chosen: Policy, *, as_json: bool) -> int:
    [standing] = standings([table], [mode])
    if as_json:
        sys.stdout.write(json.dumps({**standing, "policy": asdict(chosen)}, default=str, indent=2) + "\n")
        return 0
    pauses = ", ".join(span(chosen.pause(number, 0.5)) for number in range(1, chosen.max_restarts + 1))
    console = terminal_console()
    console.print(f"would run: meltano run {table.job(mode)}", markup=False)
    console.print(f"it would {standing['would']}", markup=False)
    console.print(f"a stall is {span(chosen.stall)} without a commit", markup=False)
    console.print(f"restarts: {chosen.max_restarts}" + (f", after about {pauses}" if pauses else ""), markup=False)
    return 0


def _one(name: str) -> Table:
    found = project.named(name, project.tables())
    if len(found) != 1 or name == "all":
        raise ConfigurationError("auto_recovery.py takes one table; for several: run_with_monitoring.sh")
    return found[0]


def _check(options: argparse.Namespace) -> int:
    found = standings(project.named(options.table, project.tables()), MODES)
    if options.json:
        sys.stdout.write(json.dumps(found, default=str, indent=2) + "\n")
        return 0
    console = terminal_console()
    console.print(grid(found))
    return 0


def standings(tables: Sequence[Table], modes: Sequence[Mode]) -> list[dict[str, Any]]:
    """How each table stands: one entry for each mode it has."""
    settings, root = progress.settings(), project.root()
    environment = project.environment(settings, root)
    wanted = [(table, mode) for table in tables for mode in modes if mode in table.jobs]
    saved = states.bookmarks([table.state_id(mode, environment) for table, mode in wanted], root)
    found, last, locks, trouble = _from_target(wanted)
    entries = []
    for table, mode in wanted:
        bookmark = saved.get(table.state_id(mode, environment), {}).get(table.stream)
        newest, run_ = found.get((table.name, mode)), last.get((table.name, mode), {})
        if trouble:
            prediction = Forecast("unknown", bool(bookmark), f"depend on the target, which cannot be asked: {trouble}")
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
    return entries


_Key = tuple[str, str]


def _from_target(
    wanted: Sequence[tuple[Table, Mode]],
) -> tuple[Mapping[_Key, progress.Progress], Mapping[_Key, Mapping[str, Any]], Mapping[str, str], str]:
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
    except (psycopg.Error, TargetUnreachable) as error:
        return found, last, locks, str(error).splitlines()[0]
    return found, last, locks, ""


def _running(table: Table, mode: Mode, lock: str | None) -> str:
    living = runlock.processes_of(table, mode, project.root())
    if living:
        return f"process {', '.join(str(process.pid) for process in living)} runs it"
    return lock or ""


def grid(found: Sequence[Mapping[str, Any]]) -> Grid:
    """The standings as a table, with what would happen below each."""
    table = Grid(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for title in ("table", "mode", "state"):
        table.add_column(title, no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("tries", justify="right", no_wrap=True)
    table.add_column("resumes", no_wrap=True)
    table.add_column("a run would", overflow="fold")
    for entry in found:
        table.add_row(
            entry["table"],
            entry["mode"],
            Text(entry["state"], style=_STYLES.get(entry["state"], "")),
            rows(entry["rows"]),
            rows(entry["attempts"]),
            "yes" if entry["can_resume"] else "no",
            entry["would"],
        )
        if entry["last_error"]:
            table.add_row("", "", "", "", "", "", Text(f"last error: {entry['last_error']}", style="red"))
    return table


if __name__ == "__main__":
    sys.exit(main())
