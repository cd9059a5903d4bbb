"""`make demo`: the main job on the embedded servers, from generated rows to a comparison of every cell.

Starts the sandbox, copies two tables of SQL Server and then three entities of the WMS in full, in parallel, changes
rows at both sources, runs the incremental syncs, compares both sides and prints one closing table. State and logs stay
inside the sandbox's own folder, so a user's `.env`, `state/` and tables are never touched. Exits 0 only if everything
is equal.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from io import StringIO
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values
from rich.console import Console
from rich.table import Table as Grid
from sync_rules.exits import Exit, SyncError

from paralelo import jobs, project
from paralelo.project import Mode, Table
from paralelo.verify import Options, verify
from paralelo.watch import Watched, watch

TABLES = ("bi-credores", "resumo-faixas")
ENTITIES = ("allocation", "order-hdr", "order-dtl")
Check = Literal["quick", "deep"]
console = Console(record=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


@dataclass(frozen=True)
class Line:
    """One row of the closing table; `rows` were read in `seconds`, start-up and activation included."""

    table: str
    step: str
    rows: int
    result: str
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of bi_credores; resumo_faixas gets half")
    parser.add_argument(
        "--wms-rows", type=int, default=50_000, help="rows of allocation; order_dtl gets 3 of 10, order_hdr 1 of 10"
    )
    parser.add_argument("--changes", type=int, default=5_000, help="rows to change at the source before incremental")
    parser.add_argument("--picture", type=Path, help="also draw what the run printed into this SVG file")
    options = parser.parse_args(arguments)
    if options.rows < 2 or options.wms_rows < 10:
        parser.error("--rows is at least 2, --wms-rows at least 10")
    try:
        return _demo(options.rows, min(options.wms_rows, options.rows), options.changes, options.picture)
    except SyncError as error:
        console.print(str(error), style="bold red")
        return int(error.exit)
    except KeyboardInterrupt:
        console.print("Stopped. `make demo` goes on from here.")
        return 130
    finally:
        _sandbox("stop", check=False)
        _wms("stop", check=False)


def _demo(rows: int, wms_rows: int, changes: int, picture: Path | None) -> int:
    began = time.monotonic()
    _step("Starting the sandbox: PostgreSQL and stand-ins for SQL Server and the WMS")
    _sandbox("start")
    _step(f"Generating {rows:,} rows of bi_credores and {rows // 2:,} of resumo_faixas, where missing")
    _sandbox("load", str(rows), "--if-empty")
    _step(f"Generating {wms_rows:,} rows of allocation, fewer of order_hdr and order_dtl, where missing")
    _wms("load", str(wms_rows), "--if-empty")
    _wms("start")
    _point_at_sandbox()
    known = {table.name: table for table in project.tables()}
    tables, entities = [known[name] for name in TABLES], [known[name] for name in ENTITIES]
    lines = [*_run_all(tables, "full"), *_run_all(entities, "full")]
    _step(f"Changing {changes:,} rows of each table and up to {changes // 10:,} of each entity at the source")
    _sandbox("mutate", "--rows", str(changes), "--no-deletes")
    for entity in entities:
        _wms("mutate", entity.source, "--updates", str(changes // 15), "--inserts", str(changes // 30))
    lines += [*_run_all(tables, "incremental"), *_run_all(entities, "incremental")]
    checks = [_compare(tables, "quick"), _compare(tables, "deep"), _compare(entities, "deep")]
    _closing_table([*lines, *(line for _, found in checks for line in found)], time.monotonic() - began)
    if not all(equal for equal, _ in checks):
        console.print("The two sides differ.", style="bold red")
        return 1
    console.print("Both sides are equal, cell by cell.", style="bold green")
    if picture:
        picture.write_text(_picture(), encoding="utf-8")
    return int(Exit.FINISHED)


def _run_all(tables: Sequence[Table], mode: Mode) -> list[Line]:
    """Run one mode's job of every table at once; raises SyncError for one that failed."""
    _step(f"{mode.capitalize()} sync of {_listed(tables)}, in parallel")
    logs = project.root() / ".sandbox" / "logs"
    running = [Watched(table, mode, jobs.start(table.job(mode), logs / f"{table.job(mode)}.log")) for table in tables]
    try:
        results = watch(running, console=console)
    finally:
        for watched in running:
            if not watched.job.done:
                watched.job.stop()
    lines = []
    for watched in running:
        job, result = watched.job, results[watched.table.name]
        if job.process.returncode != 0 or result is None:
            console.print(job.last_words())
            raise SyncError(f"{job.name} ended with {job.process.returncode}; its log is {job.log}")
        counts = {
            "inserted": result.inserted,
            "updated": result.updated,
            "stale": result.stale,
            "rejected": result.rejected,
        }
        told = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        told = told or (f"{result.unchanged:,} unchanged" if result.unchanged else "nothing to do")
        seconds = ((result.finished_at or datetime.now(timezone.utc)) - job.started).total_seconds()
        lines.append(Line(watched.table.target, mode, result.committed, told, seconds))
    return lines


def _compare(tables: Sequence[Table], check: Check) -> tuple[bool, list[Line]]:
    """One check of every table: counts and the sums of each column, or every cell."""
    what = "every cell" if check == "deep" else "counts and the sums of every column"
    _step(f"Comparing {what} of {_listed(tables)}")
    lines, equal = [], True
    for table in tables:
        report = verify([table.name], Options(check=check, settle_seconds=0))
        equal = equal and report.exit_code == 0
        for found in report.tables:
            name, rows = found.target.rpartition(".")[2], found.source_rows
            told = f"{name}: {rows:,} rows {found.verdict}, {found.seconds:.1f} s"
            console.print(f"{told}: {found.error}" if found.error else told)
            lines.append(Line(name, check, rows, found.verdict, found.seconds))
    return equal, lines


def _listed(tables: Sequence[Table]) -> str:
    *others, last = (table.name for table in tables)
    return f"{', '.join(others)} and {last}"


def _closing_table(lines: Sequence[Line], seconds: float) -> None:
    """One line a step, within 80 columns."""
    console.print(f"\nmake demo: {seconds:.0f} s", style="bold")
    grid = Grid(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("table", "step"):
        grid.add_column(name, no_wrap=True)
    for name in ("rows", "sec", "rows/s"):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("result", no_wrap=True)
    for line in lines:
        rate = f"{line.rows / line.seconds:,.0f}" if line.seconds else ""
        grid.add_row(line.table, line.step, f"{line.rows:,}", f"{line.seconds:.1f}", rate, line.result)
    console.print(grid)


def _point_at_sandbox() -> None:
    """Take the sandbox's settings and a state of its own into this process's environment, over any `.env`."""
    for module in ("sandbox", "sandbox.wms"):
        printed = subprocess.run(
            [sys.executable, "-m", module, "env"], cwd=project.root(), check=True, capture_output=True, text=True
        )
        os.environ.update({name: value or "" for name, value in dotenv_values(stream=StringIO(printed.stdout)).items()})
    state = project.root() / ".sandbox" / "state"
    state.mkdir(parents=True, exist_ok=True)
    os.environ["MELTANO_STATE_BACKEND_URI"] = project.state_uri(state)
    os.environ["MELTANO_ENVIRONMENT"] = "dev"


def _sandbox(*arguments: str, check: bool = True) -> None:
    """Run the sandbox's own command, its output shown as it comes. Raises SyncError when it fails."""
    _command("sandbox", arguments, check=check)


def _wms(*arguments: str, check: bool = True) -> None:
    """Run a command of the WMS stand-in, as `_sandbox`."""
    _command("sandbox.wms", arguments, check=check)


def _command(module: str, arguments: Sequence[str], *, check: bool) -> None:
    ended = subprocess.run([sys.executable, "-m", module, *arguments], cwd=project.root(), check=False)
    if check and ended.returncode != 0:
        raise SyncError(f"`python -m {module} {arguments[0]}` ended with {ended.returncode}")


def _picture() -> str:
    """What the console printed, as SVG; without rich's web fonts, so that looking at it asks no other server."""
    return re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="make demo"), flags=re.DOTALL)


def _step(text: str) -> None:
    console.print(f"\n{text}", style="bold")


if __name__ == "__main__":
    sys.exit(main())
