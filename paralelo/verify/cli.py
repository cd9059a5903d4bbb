"""`verify`: compare tables of SQL Server and entities of Oracle WMS with their copies in PostgreSQL."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.text import Text
from sync_rules.exits import SyncError
from sync_rules.signals import woken_by_signals

from paralelo.live import terminal_console
from paralelo.verify import html, scratch, terminal
from paralelo.verify.report import ExitCode, Report, TableReport, to_json
from paralelo.verify.runner import verify
from paralelo.verify.table import DEFAULT_SETTLE_SECONDS, Options, unforeseen

_DEFAULTS = {field.name: field.default for field in fields(Options)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 when everything is equal, 1 when something differs, 2 when it could not be told."""
    chosen = parser().parse_args(arguments)
    heard = [one for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) != signal.SIG_IGN]
    before = {one: signal.signal(one, _end) for one in heard}
    try:
        with woken_by_signals():
            return _run(chosen)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _end(signum: int, _frame: FrameType | None) -> NoReturn:
    """At once: threads may be waiting for an answer that takes a server an hour. What lies on disk is removed."""
    scratch.remove()
    console = Console(stderr=True)
    console.show_cursor()  # which is hidden while something moves on the screen
    console.print("interrupted", style="yellow")
    os._exit(128 + signum)


def _run(chosen: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    to_stdout = chosen.json == "-"
    console = Console(stderr=to_stdout)
    try:
        options = _options(chosen)
        with console.status("comparing") as status:
            report = verify(
                chosen.tables,
                options,
                target_table=chosen.target,
                key_columns=chosen.key,
                cursor_column=chosen.cursor,
                columns=chosen.column,
                repair="extra" if chosen.fix_extra else "rows" if chosen.fix else "no",
                on_table=lambda done: status.update(Text(f"{done.table}: {done.verdict}")),
            )
    except Exception as error:
        # Whatever it is, it is no difference: an error that ends Python itself would exit with that code.
        told = error if isinstance(error, SyncError) else unforeseen(", ".join(chosen.tables), error)
        report = _no_report(told, chosen)
        _say(str(told))
    else:
        if not chosen.quiet:
            terminal.show(report, console)
        else:
            for table in report.tables:
                if table.error:
                    _say(f"{table.table}: {table.error}")
    try:
        _write(report, chosen.json, chosen.html)
    except OSError as error:
        _say(f"{error.filename} cannot be written: {error.strerror}")
        return int(ExitCode.COULD_NOT_COMPARE)
    return int(report.exit_code)


def _say(error: str) -> None:
    terminal_console(errors=True).print(error, style="yellow")


def _no_report(error: SyncError, chosen: argparse.Namespace) -> Report:
    """A report that says that there is none: whoever reads the files is told as well."""
    failed = TableReport(
        table=", ".join(chosen.tables),
        target=chosen.target or "",
        check="deep" if chosen.deep else "quick",
        verdict="could not compare",
        error=str(error),
        error_code=int(error.exit),
    )
    return Report((failed,), datetime.now(timezone.utc).isoformat(timespec="seconds"), 0.0, 0)


def _options(chosen: argparse.Namespace) -> Options:
    return Options(
        check="deep" if chosen.deep else "quick",
        sample=chosen.sample,
        seed=chosen.seed,
        since=chosen.since,
        settle_seconds=chosen.settle,
        settled_at=chosen.settled_at,
        settle_wait_seconds=chosen.settle_wait,
        ignore_extra=chosen.ignore_extra,
        cursor_clock=chosen.cursor_clock,
        keep=chosen.max_differences,
        parallel=chosen.parallel,
        show_values=chosen.show_values,
    )


def _write(report: Report, json_file: str | None, html_file: str | None) -> None:
    if json_file:
        text = json.dumps(to_json(report), indent=1, ensure_ascii=False)
        if json_file == "-":
            sys.stdout.write(text + "\n")
        else:
            _save(json_file, text + "\n")
    if html_file:
        _save(html_file, html.page(report))


def _save(file: str, text: str) -> None:
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        # A full disk's error names no file.
        raise OSError(error.errno, error.strerror, file) from error


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="verify",
        allow_abbrev=False,
        description="Compare tables of SQL Server and entities of Oracle WMS with their copies in PostgreSQL.",
        epilog="Exit code: 0 equal, 1 different, 2 could not compare. Settings come from .env and the environment.",
    )
    parser.add_argument("tables", nargs="+", metavar="TABLE", help="bi_credores, dbo.bi_credores, allocation, … or all")
    parser.add_argument("--deep", action="store_true", help="compare every cell; without it, sums by key range")
    parser.add_argument("--since", metavar="TIME", help="only rows whose cursor is at or after this time (ISO 8601)")
    parser.add_argument("--sample", type=_positive, metavar="N", help="compare about N rows, every cell, picked by key")
    parser.add_argument("--seed", type=int, metavar="N", help="pick the same sample again")
    parser.add_argument(
        "--settle",
        type=float,
        default=DEFAULT_SETTLE_SECONDS,
        metavar="SECONDS",
        help="rows changed within this time and not yet copied are not judged (default %(default)g; 0 judges all)",
    )
    parser.add_argument(
        "--settled-at", metavar="TIME", help="in place of --settle: rows changed at or after this time are not judged"
    )
    parser.add_argument(
        "--target",
        metavar="SCHEMA.TABLE",
        help="compare one table with this one of the target, such as a staging table",
    )
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="COLUMN",
        help="a key column of the one table, in order, in place of the project's or the catalog's: a view has none",
    )
    parser.add_argument("--cursor", metavar="COLUMN", help="the one table's modification timestamp")
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="COLUMN",
        help="compare this column of the one table only, beside its key and cursor; again for more",
    )
    parser.add_argument(
        "--ignore-extra", action="store_true", help="rows that only the target has are told and make no difference"
    )
    parser.add_argument(
        "--settle-wait",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="wait before looking again at rows that --settle leaves unjudged",
    )
    parser.add_argument(
        "--cursor-clock",
        choices=("local", "utc"),
        default=_DEFAULTS["cursor_clock"],
        help="which clock stamps the cursor",
    )
    parser.add_argument(
        "--max-differences",
        type=_positive,
        default=_DEFAULTS["keep"],
        metavar="N",
        help="tell at most N differences of each kind one by one (default %(default)s); all are counted",
    )
    parser.add_argument("--parallel", type=_positive, default=_DEFAULTS["parallel"], metavar="N", help="readers a side")
    parser.add_argument(
        "--fix", action="store_true", help="copy missing and different rows again through tap and target, compare again"
    )
    parser.add_argument("--fix-extra", action="store_true", help="as --fix, and delete rows that only the target has")
    parser.add_argument("--show-values", action="store_true", help="show values: they may be personal data")
    parser.add_argument("--quiet", action="store_true", help="nothing on the terminal but errors")
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON; - for standard output")
    parser.add_argument("--html", metavar="FILE", help="write the report as one HTML file")
    return parser


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
