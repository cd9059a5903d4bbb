"""The report on one screen of a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from paralelo.verify.report import Bucket, Report, TableReport
from paralelo.verify.tally import Difference
from paralelo.view import counted

_STYLES = {"equal": "green", "different": "bold red", "could not compare": "yellow"}
_COUNTED: Mapping[str, Callable[[TableReport], float]] = {
    "source": lambda table: table.source_rows,
    "target": lambda table: table.target_rows,
    "missing": lambda table: table.missing,
    "extra": lambda table: table.extra,
    "differ": lambda table: table.different,
}
_MORE: Mapping[str, Callable[[TableReport], float]] = {
    "unsettled": lambda table: table.unsettled,
    "seconds": lambda table: round(table.seconds, 1),
    "rows/s": lambda table: round(table.rows_per_second),
}
_LETTERS = (("m", "missing"), ("x", "extra"), ("d", "different"))
_FITTING = ("rows/s", "seconds", "unsettled")
_ROWS_TOLD = 8
_CELLS_TOLD = 4


def show(report: Report, console: Console) -> None:
    """Print the report. rich itself leaves colours out where NO_COLOR is set or the terminal has none."""
    console.print(_summary(report, console))
    for table in report.tables:
        details = _details(table, console)
        if details:
            title = Text(f"{table.table} → {table.target}")
            console.print(Panel(Group(*details), title=title, title_align="left", border_style=_STYLES[table.verdict]))
    for check, unseen in {(table.check, table.unseen) for table in report.tables if table.unseen}:
        console.print(
            Text(f"A {check} check cannot see {'; nor '.join(unseen)}. --deep compares every cell.", style="dim")
        )
    peak = f"{report.peak_bytes / 2**20:,.0f} MiB"
    console.print(Text(f"{report.seconds:.1f} s, at most {peak} of memory", style="dim"))


def _summary(report: Report, console: Console) -> Table:
    """As many columns as fit: what is left out first is of least use."""
    unsettled = any(table.unsettled for table in report.tables)
    for dropped in range(len(_FITTING)):
        kept = [name for name in _FITTING[dropped:] if unsettled or name != "unsettled"]
        grid = _grid(report, {**_COUNTED, **{name: _MORE[name] for name in reversed(kept)}})
        wide = console.options.update(width=10_000)
        if Measurement.get(console, wide, grid).maximum <= console.width:
            return grid
    return _grid(report, _COUNTED)


def _grid(report: Report, counts: Mapping[str, Callable[[TableReport], float]]) -> Table:
    grid = Table(box=box.SIMPLE, pad_edge=False, padding=0)
    grid.add_column("table", overflow="fold")
    grid.add_column("check", no_wrap=True)
    for name in counts:
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("verdict", min_width=9, overflow="fold")
    for table in report.tables:
        verdict = Text(table.verdict, style=_STYLES[table.verdict])
        grid.add_row(Text(table.table), table.check, *(f"{count(table):,}" for count in counts.values()), verdict)
    return grid


def _details(table: TableReport, console: Console) -> list[RenderableType]:
    lines: list[RenderableType] = []
    if table.error:
        lines.append(Text(table.error))
    if table.copied_again or table.deleted:
        again = counted(table.copied_again, "row", "rows")
        lines.append(Text(f"{again} copied again, {table.deleted:,} deleted; then compared anew"))
    if table.unsettled:
        lines.append(Text(f"{counted(table.unsettled, 'row', 'rows')} changed too recently to be judged"))
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
    grid.add_column(Text(", ".join(table.key) or "no key"))
    if any(found.cells for found in chosen):
        grid.add_column("source | target" if table.values_shown else "source | target (masked: --show-values)")
    for found in chosen:
        key = Text(", ".join("NULL" if part is None else part for part in found.key))
        grid.add_row(found.kind, key, *([_cells(found)] if found.cells else []))
    more = len(table.differences) - len(chosen)
    if more:
        grid.add_row("…", f"{more:,} more in the reports of --json and --html")
    return grid


def _some_of_each(differences: Sequence[Difference]) -> list[Difference]:
    """A few of each kind: a thousand missing rows must not hide the one that differs."""
    kinds = sorted({found.kind for found in differences})
    each = max(1, _ROWS_TOLD // max(1, len(kinds)))
    return [one for kind in kinds for one in [found for found in differences if found.kind == kind][:each]]


def _cells(found: Difference) -> Text:
    def shown(value: str | None, missing_there: str) -> str:
        return "-" if found.kind == missing_there else "NULL" if value is None else value

    told = [
        f"{cell.column}: {shown(cell.source, 'extra')} | {shown(cell.target, 'missing')}"
        for cell in found.cells[:_CELLS_TOLD]
    ]
    return Text("; ".join(told) + (" …" if len(found.cells) > _CELLS_TOLD else ""))


def _key_map(buckets: Sequence[Bucket], console: Console) -> Text:
    """The key space from left to right: a dot is equal, a letter says which kind lies there, `*` several."""
    first, last = f"{buckets[0].first} ", f" {buckets[-1].last}"
    # The panel's edges take four columns; several neighbours share a letter where there is no room for each.
    room = max(1, console.width - 4 - len(first) - len(last))
    each = -(-len(buckets) // room)
    letters = []
    for start in range(0, len(buckets), each):
        part = buckets[start : start + each]
        kinds = [letter for letter, kind in _LETTERS if any(getattr(bucket, kind) for bucket in part)]
        letters.append(kinds[0] if len(kinds) == 1 else "*" if kinds else "·" if console.encoding == "utf-8" else ".")
    return Text(f"{first}{''.join(letters)}{last}\n(m missing, x extra, d different, * several)")
