"""`scripts/add_table.py`: look at a table of the source, propose how to copy it, write its file below extract/."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from sync_rules.exits import ConfigurationError, Exit
from tap_mssql.discovery import TableName

from paralelo import other_sources, project, source, table_files
from paralelo.cli.options import Parser, guarded
from paralelo.live import terminal_console, wrapped
from paralelo.propose import Proposal, propose
from paralelo.view import counted, size

_STYLES = {"written": "green", "refused": "red", "differs": "yellow"}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser(
        prog="add_table.py",
        description="Look at a table of the source, propose how to copy it, write its file below extract/.",
        epilog="A table that is there already is left as it is; --force writes it anew and shows what changes.",
    )
    made.add_argument("tables", nargs="*", metavar="TABLE", help="dbo.clientes; brackets as SQL Server reads them")
    made.add_argument("--all", action="store_true", help="every table (no view) of the database")
    made.add_argument("--like", metavar="PATTERN", help="every table like 'dbo.bi_*'")
    made.add_argument("--source", choices=["mssql", "oracle-wms", "sqlite"], default="mssql", help="default: mssql")
    made.add_argument("--key", metavar="COLUMNS", help="the unique ordering key, commas between columns")
    made.add_argument("--cursor", metavar="COLUMN", help="the column that tells when a row was changed last")
    made.add_argument("--dry-run", action="store_true", help="say what would be written; write nothing")
    made.add_argument("--force", action="store_true", help="write a file that is there already; shows the difference")
    made.add_argument("--json", action="store_true", help="the proposals, and what was done, as JSON")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code."""
    return guarded(lambda: _add(parser().parse_args(arguments)))


@dataclass(frozen=True)
class Done:
    """What became of one table: `written`, `would write`, `there already`, `differs`, `refused`; why; what changes."""

    proposal: Proposal
    outcome: str
    why: str = ""
    file: str = ""
    diff: str = ""


def _add(options: argparse.Namespace) -> int:
    asked = [bool(options.tables), options.all, options.like is not None]
    if sum(asked) != 1:
        raise ConfigurationError("name tables, or give --all, or give --like: one of the three")
    key = [name.strip() for name in (options.key or "").split(",") if name.strip()]
    if (key or options.cursor) and len(options.tables) != 1:
        raise ConfigurationError("--key and --cursor are one table's: name that table")
    done: list[Done] = []
    for proposal in _proposals(options, key):
        taken = [one.proposal for one in done if one.file]
        done.append(_one(proposal, options, taken))
    if options.json:
        told = [{**one.proposal.as_json(), "outcome": one.outcome, "why": one.why, "file": one.file} for one in done]
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        _tell(done, terminal_console())
    bad = [one for one in done if one.outcome in ("refused", "differs")]
    return int(Exit.CONFIGURATION) if bad else 0


def _proposals(options: argparse.Namespace, key: Sequence[str]) -> list[Proposal]:
    if options.source != "mssql":
        return other_sources.proposals(
            options.source, options.tables, options.like or "*", key=key, cursor=options.cursor
        )
    names = [TableName.parse(name) for name in options.tables]
    with source.opened() as connection:
        found = source.look(connection, names)
    if not names:
        found = source.matching(found, options.like or "*")
    return [propose(one, key=key, cursor=options.cursor) for one in found]


def _one(proposal: Proposal, options: argparse.Namespace, taken: Sequence[Proposal]) -> Done:
    if proposal.problem:
        return Done(proposal, "refused", proposal.problem)
    root = project.root()
    there = table_files.existing(proposal, root)
    many = options.all or options.like is not None
    try:
        made = table_files.draft(proposal, root, taken=taken)
    except ConfigurationError as error:
        return Done(proposal, "refused", str(error))
    file = f"extract/{made.path.name}"
    if made.same or (there is not None and many and not options.force):
        return Done(proposal, "there already", file=file)
    diff = made.diff() if made.before is not None else ""
    if made.before is not None and not options.force:
        return Done(proposal, "differs", f"{file} is another; --force writes this one", file, diff)
    if options.dry_run:
        return Done(proposal, "would write", file=file, diff=diff)
    table_files.write(made)
    return Done(proposal, "written", file=file, diff=diff)


def _tell(done: Sequence[Done], console: Console) -> None:
    for one in done:
        proposal = one.proposal
        console.print(f"{proposal.source}: {_measure(proposal)}", style="bold")
        if not proposal.problem:
            console.print(f"  key {', '.join(proposal.key) or 'none'}; cursor {proposal.cursor or 'none'}")
            console.print(f"  goes to {proposal.target}; {' and '.join(proposal.modes)}")
        for note in proposal.notes:
            console.print(wrapped(console, note, initial_indent="  - ", subsequent_indent="    "))
        if one.diff:
            console.print(one.diff.rstrip("\n"))
        said = f"  {one.outcome}{': ' + one.file if one.file and one.outcome != 'differs' else ''}"
        told = wrapped(console, f"{said}{': ' + one.why if one.why else ''}", subsequent_indent="    ")
        console.print(told, style=_STYLES.get(one.outcome))
    fresh = [one.proposal for one in done if one.outcome == "written"]
    if fresh:
        jobs = " ".join(f"parallel-full-sync-{proposal.name}" for proposal in fresh)
        console.print(f"now: meltano run {jobs}", style="dim")


def _measure(proposal: Proposal) -> str:
    known = [
        None if proposal.rows is None else counted(proposal.rows, "row", "rows"),
        None if proposal.bytes is None else size(proposal.bytes),
        counted(len(proposal.columns), "column", "columns") if proposal.columns else "columns unknown",
    ]
    return ", ".join(one for one in known if one is not None)


if __name__ == "__main__":
    sys.exit(main())
