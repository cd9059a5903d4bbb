"""From runs to figures: the order of a round, ratios within rounds, the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.measure import Cost


@dataclass(frozen=True)
class Result:
    """One contender's run in one round. `failure` says why it does not count, empty when it does."""

    contender: str
    round: int
    rows: int
    cost: Cost | None
    failure: str = ""

    @property
    def rate(self) -> float | None:
        """Rows a second over the whole run, None for a run that does not count."""
        return self.rows / self.cost.wall if self.cost is not None and not self.failure else None


def rotated(names: Sequence[str], round_number: int) -> list[str]:
    """The order of a round: each contender is first once in as many rounds as there are contenders."""
    turn = round_number % len(names) if names else 0
    return [*names[turn:], *names[:turn]]


def ratio(results: Sequence[Result], name: str, against: str) -> float | None:
    """The median over rounds of `name`'s rate divided by `against`'s of the same round; None without such a round."""
    rates = {(r.contender, r.round): r.rate for r in results}
    found = [
        mine / theirs
        for (who, number), mine in rates.items()
        if who == name and mine is not None and (theirs := rates.get((against, number))) is not None
    ]
    return median(found) if found else None


def table(results: Sequence[Result], against: str) -> str:
    """One line per contender: medians of its rounds, or why it could not run."""
    lines = [
        f"{'contender':<14}{'rows':>9}{'s':>7}{'rows/s':>9}{'us client':>10}{'source':>7}{'target':>7}{'MB':>6}  ratio"
    ]
    for name in dict.fromkeys(r.contender for r in results):
        mine = [r for r in results if r.contender == name]
        good = [(r, r.cost) for r in mine if r.cost is not None and not r.failure]
        if not good:
            lines.append(f"{name:<14} {mine[0].failure[:80]}")
            continue
        rows = good[0][0].rows
        wall = median(cost.wall for _, cost in good)
        micro = [median(getattr(c, part) / rows * 1e6 for _, c in good) for part in CPU]
        times = ratio(results, name, against)
        shown = "" if times is None else f"{times:.2f}"
        memory = max(cost.memory for _, cost in good) / 2**20
        lines.append(
            f"{name:<14}{rows:>9,}{wall:>7.1f}{median(rows / c.wall for _, c in good):>9,.0f}"
            f"{micro[0]:>10.1f}{micro[1]:>7.1f}{micro[2]:>7.1f}{memory:>6.0f}  {shown}"
            + (f"  {len(mine) - len(good)} failed" if len(good) < len(mine) else "")
        )
    return "\n".join(lines)


CPU = ("client_cpu", "source_cpu", "target_cpu")
