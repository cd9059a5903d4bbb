"""The report on one screen of a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from paralelo.verify.report import Bucket, Report, TableReport
from paralelo.verify.tally import Difference

_STYLES = {"equal": "green", "different": "bold red", "could not compare": "yellow"}
_ROWS_TOLD = 8
_CELLS_TOLD = 4
_WIDE = 100


def show(report: Report, console: Console) -> None:
    """Print the report. rich itself leaves colours out where NO_COLOR is set or the terminal has none."""
    console.print(_summary(report, console))
    for table in report.tables:
        details = _details(table, console)
        if details:
            title = f"{table.table} → {table.target}"
            console.print(Panel(Group(*details), title=title, title_align="left", border_style=_STYLES[table.verdict]))
    for check, unseen in {(table.check, table.unseen) for table in report.tables if table.unseen}:
        console.print(
            Text(f"A {check} check cannot see {'; nor '.join(unseen)}. --deep compares every cell.", style="dim")
        )
    peak = f"{report.peak_bytes / 2**20:,.0f} MiB"
    console.print(Text(f"{report.seconds:.1f} s, at most {peak} of memory", style="dim"))


def _summary(report: Report, console: Console) -> Table:
    counted: dict[str, Callable[[TableReport], float]] = {
        "source": lambda table: table.source_rows,
        "target": lambda table: table.target_rows,
        "missing": lambda table: table.missing,
        "extra": lambda table: table.extra,
        "differ": lambda table: table.different,
    }
    if any(table.unsettled for table in report.tables):
        counted["unsettled"] = lambda table: table.unsettled
    if console.width >= _WIDE:
        counted["seconds"] = lambda table: round(table.seconds, 1)
        counted["rows/s"] = lambda table: round(table.rows_per_second)
    grid = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column("table", no_wrap=True)
    grid.add_column("check")
    for name in counted:
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("verdict", min_width=9, overflow="fold")
    for table in report.tables:
        verdict = Text(table.verdict, style=_STYLES[table.verdict])
        grid.add_row(table.table, table.check, *(f"{count(table):,}" for count in counted.values()), verdict)
    return grid


def _details(table: TableReport, console: Console) -> list[RenderableType]:
    lines: list[RenderableType] = []
    if table.error:
        lines.append(Text(table.error))
    if table.copied_again or table.deleted:
        lines.append(Text(f"{table.copied_again:,} rows copied again, {table.deleted:,} deleted; then compared anew"))
    if table.absent_columns:
        lines.append(Text(f"columns the target lacks: {', '.join(table.absent_columns)}"))
    lines += [Text(f"not compared: {column}") for column in table.incomparable_columns]
    if table.columns:
        told = ", ".join(f"{name} ({count:,})" for name, count in list(table.columns.items())[:8])
        lines.append(Text(f"columns that differ: {told}{' …' if len(table.columns) > 8 else ''}"))
    if table.differences:
        lines.append(_differences(table))
        if any(bucket.differences for bucket in table.buckets):
            lines.append(_key_map(table.buckets, console))
    lines += [Text(note, style="dim") for note in table.notes]
    return lines


def _differences(table: TableReport) -> Table:
    chosen = _some_of_each(table.differences)
    grid = Table(box=None, pad_edge=False)
    grid.add_column("row")
    grid.add_column(", ".join(table.key) or "no key")
    grid.add_column("source | target" if table.values_shown else "source | target (masked: --show-values)")
    for found in chosen:
        grid.add_row(found.kind, Text(", ".join("NULL" if part is None else part for part in found.key)), _cells(found))
    more = len(table.differences) - len(chosen)
    if more:
        grid.add_row("…", f"{more:,} more", "in the JSON and HTML reports")
    return grid


def _some_of_each(differences: Sequence[Difference]) -> list[Difference]:
    """A few of each kind: a thousand missing rows must not hide the one that differs."""
    kinds = sorted({found.kind for found in differences})
    each = max(1, _ROWS_TOLD // max(1, len(kinds)))
    return [one for kind in kinds for one in [found for found in differences if found.kind == kind][:each]]


def _cells(found: Difference) -> Text:
    told = [
        f"{cell.column}: {'NULL' if cell.source is None else cell.source}"
        f" | {'NULL' if cell.target is None else cell.target}"
        for cell in found.cells[:_CELLS_TOLD]
    ]
    return Text("; ".join(told) + (" …" if len(found.cells) > _CELLS_TOLD else ""))


def _key_map(buckets: Sequence[Bucket], console: Console) -> Text:
    """The key space from left to right: a dot is equal, a letter says which kind lies there, `*` several."""
    letters = []
    for bucket in buckets:
        kinds = [k for k, n in (("m", bucket.missing), ("x", bucket.extra), ("d", bucket.different)) if n]
        letters.append(kinds[0] if len(kinds) == 1 else "*" if kinds else "·" if console.encoding == "utf-8" else ".")
    ends = f"{buckets[0].first} ", f" {buckets[-1].last}"
    return Text(f"{ends[0]}{''.join(letters)}{ends[1]}  (m missing, x extra, d different, * several)")
