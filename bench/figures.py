"""From runs to figures: the order of a round, ratios within rounds, the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.growth import Point, middle_rate
from bench.measure import ROLES, Cost


@dataclass(frozen=True)
class Result:
    """One contender's run in one round. `failure` says why it does not count, empty when it does."""

    contender: str
    table: str
    round: int
    rows: int
    cost: Cost | None
    failure: str = ""
    growth: list[Point] = field(default_factory=list)

    @property
    def rate(self) -> float | None:
        """Rows a second over the whole run, None for a run that does not count."""
        return self.rows / self.cost.wall if self.cost is not None and not self.failure else None

    @property
    def middle(self) -> float | None:
        """Rows a second in the steady middle of the run, None for a run that does not count or shows none."""
        return middle_rate(self.growth, self.rows) if self.rate is not None else None


@dataclass(frozen=True)
class Line:
    """One figure of a case: what was measured, in words; its seconds; what else is to be said."""

    case: str
    what: str
    seconds: float | None
    note: str = ""


def rotated(names: Sequence[str], round_number: int) -> list[str]:
    """The order of a round: each contender is first once in as many rounds as there are contenders."""
    turn = round_number % len(names) if names else 0
    return [*names[turn:], *names[:turn]]


def ratio(
    results: Sequence[Result],
    name: str,
    against: str,
    of: Callable[[Result], float | None] = lambda result: result.rate,
) -> float | None:
    """The median over rounds of `name`'s figure divided by `against`'s of the same round; None without such a round."""
    figures = {(r.contender, r.round): of(r) for r in results}
    found = [
        mine / theirs
        for (who, number), mine in figures.items()
        if who == name and mine is not None and (theirs := figures.get((against, number)))
    ]
    return median(found) if found else None


HEADINGS = (
    *("contender", "rows", "s", "rows/s", "middle", "us client", *ROLES, "source", "server", "MB"),
    *("ratio", "middle ratio"),
)


def cells(results: Sequence[Result], against: str) -> list[list[str]]:
    """One row of HEADINGS for each contender: medians of its rounds; of one that never counted, its name and why."""
    made = []
    for name in dict.fromkeys(r.contender for r in results):
        mine = [r for r in results if r.contender == name]
        good = [(r, r.cost) for r in mine if r.cost is not None and not r.failure]
        if not good:
            made.append([name, mine[0].failure])
            continue
        rows = good[0][0].rows
        parts = [
            median(c.client_cpu for _, c in good),
            *(median(c.roles.get(role, 0.0) for _, c in good) for role in ROLES),
            median(c.source_cpu for _, c in good),
            median(c.target_cpu for _, c in good),
        ]
        middles = [r.middle for r, _ in good if r.middle is not None]
        failed = f" ({len(mine) - len(good)} failed)" if len(good) < len(mine) else ""
        made.append(
            [
                name + failed,
                f"{rows:,}",
                f"{median(c.wall for _, c in good):.1f}",
                f"{median(rows / c.wall for _, c in good):,.0f}",
                f"{median(middles):,.0f}" if middles else "",
                *(f"{seconds / rows * 1e6:.2f}" if seconds else "" for seconds in parts),
                f"{max(c.memory for _, c in good) / 2**20:.0f}",
                *(_shown(ratio(results, name, against, of)) for of in (lambda r: r.rate, lambda r: r.middle)),
            ]
        )
    return made


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def table(results: Sequence[Result], against: str) -> str:
    """The cells in columns, for a terminal."""
    rows = [list(HEADINGS), *cells(results, against)]
    widths = [max(len(row[n]) for row in rows if len(row) > 2) for n in range(len(HEADINGS))]
    lines = []
    for row in rows:
        if len(row) == 2:
            lines.append(f"{row[0]:<{widths[0]}}  {row[1][:100]}")
        else:
            numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
            lines.append("  ".join((row[0].ljust(widths[0]), *numbers)).rstrip())
    return "\n".join(lines)


def markdown(results: Sequence[Result], against: str) -> str:
    """The cells as a table of Markdown."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    for row in cells(results, against):
        padded = row if len(row) > 2 else [row[0], row[1].replace("|", "\\|"), *[""] * (len(HEADINGS) - 2)]
        lines.append(f"| {' | '.join(padded)} |")
    return "\n".join(lines)


def case_lines(lines: Sequence[Line]) -> str:
    """The figures of the cases as a table of Markdown, which a terminal shows as well."""
    made = ["| case | what | s | |", "|---|---|---|---|"]
    for line in lines:
        seconds = "" if line.seconds is None else f"{line.seconds:.2f}"
        made.append(f"| {line.case} | {line.what} | {seconds} | {line.note} |")
    return "\n".join(made)
