"""How a run ended: one table for people, one JSON file for everything else."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table as Grid
from rich.text import Text
from sync_rules.exits import Exit

from paralelo import status
from paralelo.progress import Progress
from paralelo.score import Score
from paralelo.supervise import Attempt
from paralelo.view import rows, short, size, span

_STYLES = {"finished": "green", "failed": "bold red", "stopped": "yellow"}
INTERRUPTED = 130
WIDE = 100


@dataclass(frozen=True)
class TableReport:
    """One table's part. Counts are None where the ledger could not be read, and where another sync kept this one from
    beginning; `read` counts this run only."""

    table: str
    mode: str
    outcome: str
    exit: Exit
    reason: str
    seconds: float
    attempts: tuple[Attempt, ...] = ()
    read: int | None = None
    committed: int | None = None
    written: int | None = None
    inserted: int | None = None
    updated: int | None = None
    unchanged: int | None = None
    stale: int | None = None
    rejected: int | None = None
    sync_id: int | None = None
    peak_memory: int | None = None
    score: Score | None = None

    @property
    def changed(self) -> int | None:
        """Rows inserted into the live table or updated there; until a full sync takes effect, those it staged."""
        if self.inserted is None or self.updated is None:
            return self.written
        return self.inserted + self.updated if self.inserted or self.updated or self.unchanged else self.written

    @property
    def rows_per_second(self) -> float | None:
        """Rows read a second, starts, pauses and activation included."""
        return self.read / self.seconds if self.read is not None and self.seconds > 0 else None


@dataclass(frozen=True)
class Report:
    """A whole run."""

    run: str
    began: datetime
    seconds: float
    tables: tuple[TableReport, ...]
    peak_memory: int
    logs: str

    @property
    def exit_code(self) -> int:
        """0 if all are finished; else what failed. A failure that a restart cannot mend counts before one it may."""
        if all(table.outcome == "finished" for table in self.tables):
            return 0
        failed = [table.exit for table in self.tables if table.outcome == "failed"]
        if not failed:
            return INTERRUPTED
        final = [exit_ for exit_ in failed if not exit_.restart_helps]
        return int((final or failed)[0])


def counts(found: Progress | None) -> dict[str, Any]:
    """The ledger's counts as fields of a TableReport."""
    if found is None:
        return {}
    return {
        "read": max(0, found.committed - found.rows_earlier),
        "committed": found.committed,
        "written": found.written,
        "inserted": found.inserted,
        "updated": found.updated,
        "unchanged": found.unchanged,
        "stale": found.stale,
        "rejected": found.rejected,
        "sync_id": found.sync_id,
    }


def grid(report: Report, width: int = WIDE) -> RenderableType:
    """The closing table; on a terminal of fewer columns than it needs, the same in lines: no figure is ever cut."""
    table, boundless = _table(report), Console(width=10_000)
    fits = width >= WIDE and Measurement.get(boundless, boundless.options, table).maximum <= width
    return Group(table if fits else _lines(report), *_notes(report))


def _lines(report: Report) -> Text:
    texts = []
    for part in report.tables:
        tries = "1 attempt" if len(part.attempts) == 1 else f"{len(part.attempts)} attempts"
        counted = {"read": part.read, "written": part.changed, "unchanged": part.unchanged, "stale": part.stale,
                   "rejected": part.rejected}  # fmt: skip
        memory = "-" if part.peak_memory is None else size(part.peak_memory)
        counts = ", ".join(f"{rows(count)} {name}" for name, count in counted.items())
        texts.append(f"{part.table} {part.outcome} in {span(part.seconds)}, {tries}")
        texts.append(f"  {counts}\n  {rows(part.rows_per_second)} rows/s, {memory} at most")
    return Text("\n".join(texts))


def _table(report: Report) -> Grid:
    table = Grid(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("table", no_wrap=True)
    table.add_column("ended", no_wrap=True)
    for title in ("read", "written", "unchanged", "stale", "rejected", "time", "rows/s", "tries", "memory"):
        table.add_column(title, justify="right", no_wrap=True)
    for part in report.tables:
        table.add_row(
            short(part.table),
            Text(part.outcome, style=_STYLES.get(part.outcome, "")),
            rows(part.read),
            rows(part.changed),
            rows(part.unchanged),
            rows(part.stale),
            rows(part.rejected),
            span(part.seconds),
            rows(part.rows_per_second),
            str(len(part.attempts)),
            "-" if part.peak_memory is None else size(part.peak_memory),
        )
    return table


def _notes(report: Report) -> list[Text]:
    notes = []
    for part in report.tables:
        if part.outcome == "failed":
            notes.append(Text(f"{part.table}: {part.reason} (exit {int(part.exit)})", style="red"))
        if part.score is not None:
            why = f": {part.score.why}" if part.score.why else ""
            notes.append(Text(f"{part.table}: {part.score.grade}, {part.score.points} of 100{why}", style="dim"))
    return notes


def as_json(report: Report) -> dict[str, Any]:
    """All of it, with names for exit codes."""
    found = asdict(report)
    for table, part in zip(found["tables"], report.tables, strict=True):
        table.update(exit=int(part.exit), exit_name=part.exit.name.lower(), rows_per_second=part.rows_per_second)
        for attempt in table["attempts"]:
            attempt["exit"] = int(attempt["exit"])
    return {**found, "exit_code": report.exit_code}


def print_json(report: Report) -> None:
    """All of it, to standard output."""
    sys.stdout.write(json.dumps(as_json(report), default=str, indent=2) + "\n")


def write(report: Report, folder: Path) -> Path:
    """Write `report.json` beside the run's logs, whole or not at all: a run that has one is over."""
    return status.replace(folder / status.REPORT, json.dumps(as_json(report), default=str, indent=2) + "\n")


def ended_tables(parts: Sequence[TableReport]) -> str:
    """`2 finished, 1 failed`."""
    order = ("finished", "failed", "stopped")
    found = [(sum(part.outcome == outcome for part in parts), outcome) for outcome in order]
    return ", ".join(f"{count} {outcome}" for count, outcome in found if count)
