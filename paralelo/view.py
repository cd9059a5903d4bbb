"""How a snapshot looks: a grid for a terminal, one plain line a table for everything else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from paralelo.snapshot import ENDED, LIVE, Line, Snapshot

_STYLES = {"failed": "bold red", "stopped": "yellow", "pausing": "yellow", "done": "green", "waiting": "dim"}
_BAR = 12
_WITH_BAR = 100
"""Columns from which on there is room for a bar beside all figures."""
_PLAIN = 90
"""A plain line's columns, beside which its time still fits into 100."""


_NAME = 30
"""A table's name in a table or a line of several figures: names may have 128 characters, and leave room for nothing."""

Cell = Callable[[Mapping[str, Any]], str | Text]


def short(name: str) -> str:
    """A table's name where there is little room: of a long one the beginning and the end, which tell it apart."""
    return name if len(name) <= _NAME else f"{name[: _NAME - 12]}...{name[-9:]}"


def fitting(
    console: Console,
    found: Iterable[Mapping[str, Any]],
    columns: Mapping[str, Cell],
    *,
    numbers: Collection[str],
    least: Sequence[str],
) -> Table:
    """What was found as a table, a row each. A terminal too narrow for it does without `least`, one after another."""
    entries = list(found)
    boundless = console.options.update(width=10_000)
    for left_out in range(len(least) + 1):
        shown = {title: cell for title, cell in columns.items() if title not in least[:left_out]}
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
        for title in shown:
            table.add_column(title, justify="right" if title in numbers else "left", no_wrap=True)
        for entry in entries:
            table.add_row(*(cell(entry) for cell in shown.values()))
        if Measurement.get(console, boundless, table).maximum <= console.width:
            break
    return table


def grid(snapshot: Snapshot, width: int = _WITH_BAR) -> RenderableType:
    """The live view on a terminal of so many columns."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("table", no_wrap=True)
    both = len({line.mode for line in snapshot.lines}) > 1
    if both:
        table.add_column("mode", no_wrap=True)
    table.add_column("phase", no_wrap=True)
    wide = width >= _WITH_BAR
    count = rows if wide else brief
    for title in ("rows", "of", "%", *([""] if wide else []), "rows/s", "avg", "ETA", "try", "lag"):
        table.add_column(title, justify="left" if not title else "right", no_wrap=True)
    for line in snapshot.lines:
        table.add_row(
            short(line.table),
            *([line.mode] if both else []),
            Text(line.phase, style=_STYLES.get(line.phase, "cyan")),
            count(line.committed),
            count(line.estimate),
            "" if line.percent is None else f"{line.percent:.0f}",
            *([bar(line.percent)] if wide else []),
            rows(line.rate_now),
            rows(line.rate_average),
            span(line.eta_seconds),
            str(line.attempt),
            span(line.lag_seconds),
        )
    notes = [Text(f"{line.table}: {line.note}", style="dim") for line in snapshot.lines if line.note]
    alerts = [Text(f"! {alert}", style="bold yellow") for alert in snapshot.alerts]
    return Group(table, Text(footing(snapshot), style="dim"), *notes, *alerts)


def plain(line: Line, *, with_mode: bool = False) -> str:
    """One table in one line of less than 100 columns, with the time in front of it. What matters least goes first.

    `with_mode` tells its two syncs apart, where both are looked at.
    """
    of = "" if line.estimate is None else f" of {line.estimate:,}"
    percent = "" if line.percent is None else f" ({line.percent:.0f}%)"
    name = f"{short(line.table)} {line.mode}" if with_mode else short(line.table)
    parts = [f"{name}: {line.phase}, {counted(line.committed, 'row', 'rows')}{of}{percent}"]
    if line.phase in ENDED:
        if line.rate_average:
            parts.append(f"{rows(line.rate_average)} rows/s in {span(line.seconds)}")
    else:
        if line.rate_now is not None:
            parts.append(f"{rows(line.rate_now)} rows/s")
        if line.eta_seconds is not None:
            parts.append(f"ETA {span(line.eta_seconds)}")
    if line.attempt > 1:
        parts.append(f"attempt {line.attempt}")
    if line.note:
        parts.append(line.note)
    text = ", ".join(parts)
    more = []
    if line.phase in LIVE and line.rate_average:
        more.append(f"average {rows(line.rate_average)}")
    if line.lag_seconds is not None:
        more.append(f"lag {span(line.lag_seconds)}")
    for part in more:
        if len(text) + len(part) + 2 <= _PLAIN:
            text = f"{text}, {part}"
    return text if len(text) <= _PLAIN else text[: _PLAIN - 3] + "..."


def footing(snapshot: Snapshot) -> str:
    """The whole run in one line."""
    usage = snapshot.usage
    processes = counted(usage.processes, "process", "processes")
    return (
        f"{snapshot.at:%H:%M:%S}  {counted(snapshot.committed, 'row', 'rows')}, {rows(snapshot.rate_now)} rows/s;"
        f" {processes}, CPU {usage.cpu_percent:.0f}%, memory {size(usage.memory)}"
    )


def bar(percent: float | None) -> str:
    """A bar of characters that every terminal has."""
    if percent is None:
        return ""
    full = round(_BAR * percent / 100)
    return "#" * full + "." * (_BAR - full)


def rows(count: float | None) -> str:
    """A count or a rate with thousands apart; a dash where nobody knows."""
    return "-" if count is None else f"{count:,.0f}"


def counted(count: int, one: str, several: str) -> str:
    """`1 process`, `2 processes`."""
    return f"{count:,} {one if count == 1 else several}"


def brief(count: float | None) -> str:
    """The same where there is little room: `1,234.5M` from ten million on."""
    return rows(count) if count is None or count < 10_000_000 else f"{count / 1_000_000:,.1f}M"


def span(seconds: float | None) -> str:
    """`0:42`, `12:05`, `3:12:05`, `2d 04h`; a dash where nobody knows."""
    if seconds is None:
        return "-"
    whole = max(0, round(seconds))  # two clocks may differ by some seconds
    if whole >= 86_400:
        return f"{whole // 86_400}d {whole % 86_400 // 3_600:02d}h"
    hours, rest = divmod(whole, 3_600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def size(count: float) -> str:
    """Bytes in the unit that fits."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1_000:
            return f"{count:.0f} {unit}"
        count /= 1_000
    return f"{count:.1f} TB"
