"""`scripts/plan.py`: what a full sync would move, take and change, before anything is moved."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import inf

from rich.console import Console
from rich.table import Table as Grid
from sync_rules.exits import ConfigurationError, Exit, SyncError
from target_postgres.connection import Connection, connect
from target_postgres.settings import Settings

from paralelo import progress, project, source
from paralelo.cli.options import Parser, guarded
from paralelo.live import terminal_console, wrapped
from paralelo.plan import TablePlan, plan
from paralelo.project import Table
from paralelo.verify.settings import target_settings
from paralelo.view import rows, size, span

PROBE_SECONDS = 10.0
CONNECT_SECONDS = 10


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser(
        prog="plan.py",
        description="What a full sync would move, take and change, before anything is moved. For SQL Server.",
        epilog="The time is that of the table's own finished runs, else a probe's, which reads rows and drops them.",
    )
    made.add_argument("table", help="a table as its job spells it (bi-credores), or all")
    made.add_argument(
        "--probe",
        type=float,
        default=PROBE_SECONDS,
        metavar="S",
        help=f"seconds to read for, shared by the tables (default {PROBE_SECONDS:g}); 0 reads nothing",
    )
    made.add_argument("--json", action="store_true", help="everything, columns and types included, as JSON")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code: 7 where a check would refuse, 0 where nothing stands against it."""
    return guarded(lambda: _plan(parser().parse_args(arguments)))


def _plan(options: argparse.Namespace) -> int:
    # Written so that what is no number (nan) is refused too.
    if not 0 <= options.probe < inf:
        raise ConfigurationError("--probe is 0 or more seconds")
    tables = project.named(options.table, project.tables())
    mine = [table for table in tables if table.plugin == "tap-mssql" and "full" in table.jobs]
    if not mine:
        raise ConfigurationError(f"{options.table}: plan.py knows tables of SQL Server; this is none")
    made, trouble = _plans(mine, options.probe / len(mine))
    if options.json:
        told = {"tables": [one.as_json() for one in made], "target": trouble or "reachable"}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        _tell(made, trouble, terminal_console())
    return int(Exit.CHECK_REFUSED) if any(one.refused for one in made) else 0


def _plans(tables: Sequence[Table], probe: float) -> tuple[list[TablePlan], str]:
    settings = target_settings(progress.settings())
    made: list[TablePlan] = []
    with _target(settings) as (target, trouble):
        for group, given in source.by_source(tables):
            with source.opened(given=given) as connection:
                made += [plan(table, connection, target, settings, probe, given) for table in group]
    return sorted(made, key=lambda one: one.table), trouble


@contextmanager
def _target(settings: Settings) -> Iterator[tuple[Connection | None, str]]:
    """A connection to the target; without one there is still the source to tell of."""
    try:
        connection = connect(replace(settings, connect_timeout_seconds=CONNECT_SECONDS), "plan")
    except SyncError as error:
        yield None, str(error)
        return
    with connection:
        connection.execute("SET default_transaction_read_only = on")
        yield connection, ""


def _tell(made: Sequence[TablePlan], trouble: str, console: Console) -> None:
    table = Grid(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("table", no_wrap=True)
    for title in ("rows", "bytes", "pages", "time", "disk"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in made:
        table.add_row(
            one.table, rows(one.rows), _size(one.bytes), rows(one.pages), span(one.seconds), _size(one.disk_bytes)
        )
    console.print(table)
    for one in made:
        lines = [f"time known by {one.known_by}" if one.known_by else "", f"takes effect: {one.activation}"]
        lines += [one.changes and f"the target's columns change: {one.changes}", _types(one)]
        lines += list(one.notes)
        for line in filter(None, lines):
            _say(console, f"{one.table}: {line}", "dim")
        if one.refused:
            _say(console, f"{one.table}: it would be refused: {one.refused}", "bold red")
    if len(made) > 1 and all(one.seconds is not None for one in made):
        _say(console, f"one after another: {span(sum(one.seconds or 0 for one in made))}", "bold")
    if trouble:
        _say(console, trouble, "red")


def _types(one: TablePlan) -> str:
    """The types that are not spelled alike on both sides."""
    other = [f"{c.name} {c.declared} to {c.target_type}" for c in one.columns if _plain(c.declared) != c.target_type]
    more = f" and {len(other) - 6} more (--json has all)" if len(other) > 6 else ""
    return f"types: {', '.join(other[:6])}{more}" if other else ""


def _plain(declared: str) -> str:
    alike = {"int": "integer", "bit": "boolean", "float": "double precision", "uniqueidentifier": "uuid"}
    name, _, rest = declared.partition("(")
    name = {"varchar": "character varying", "char": "character", "decimal": "numeric"}.get(name, alike.get(name, name))
    return f"{name}({rest}" if rest else name


def _size(count: int | None) -> str:
    return "-" if count is None else size(count)


def _say(console: Console, text: str, style: str) -> None:
    console.print(wrapped(console, text, subsequent_indent="  "), style=style)


if __name__ == "__main__":
    sys.exit(main())
