"""What Paralelo is to reach, and how near a benchmark found it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from bench.contenders import OTHER_DRIVERS
from bench.figures import Line, Result, ratio

Figure = Callable[[Result], float | None]
FIRST = "reference 25k"
"""The bare pipeline as it was when the goals were set: twice as many pages as are best."""


@dataclass(frozen=True)
class Goal:
    """`least` or `most` bounds what was found; None where the benchmark did not look."""

    what: str
    found: float | None
    unit: str
    least: float | None = None
    most: float | None = None

    @property
    def reached(self) -> str:
        """In words."""
        if self.found is None:
            return "not measured"
        high_enough = self.least is None or self.found >= self.least
        return "yes" if high_enough and (self.most is None or self.found <= self.most) else "no"


def goals(
    results: Sequence[Result], cases: Sequence[Line], fewer: Sequence[Result] = (), ours: str = "paralelo"
) -> list[Goal]:
    """The goals, from results of `bi_credores` and of the cases; `fewer` are results of the same with fewer rows.

    `ours` is the contender whose figures they are.
    """
    mine, before = ([r for r in some if r.table == "bi_credores"] for some in (results, fewer))

    def against(name: str, of: Figure = lambda r: r.rate) -> float | None:
        return ratio(mine, ours, name, of)

    start = _seconds(cases, "start-up", "full sync of 1 row")
    return [
        Goal("rate of the middle, against the bare pipeline", against("reference", lambda r: r.middle), "x", 0.95),
        Goal("rate of the whole run, against the bare pipeline", against("reference"), "x", 0.85),
        Goal("CPU a row, against the bare pipeline", against("reference", _cpu), "x", most=1.15),
        Goal("rate of the middle, against it with pages of 25,000", against(FIRST, lambda r: r.middle), "x", 0.95),
        Goal("rate of the whole run, against it with pages of 25,000", against(FIRST), "x", 0.85),
        Goal("CPU a row, against it with pages of 25,000", against(FIRST, _cpu), "x", most=1.15),
        Goal("against dlt's best case, whole run", against("dlt arrow"), "x", 1.3),
        Goal("against sling, whole run", against("sling"), "x", 3.5),
        Goal("against stock Singer, tuned", against("stock tuned"), "x", 12),
        Goal("against stock Singer, default", against("stock default"), "x", 50),
        Goal("peak memory", _middle(mine, ours, _megabytes), "MB", most=500),
        Goal("peak memory, against fewer rows", _quotient(mine, before, ours, _megabytes), "x", most=1.1),
        Goal("rate without start-up, against fewer rows", _quotient(mine, before, ours, _rate_after(start)), "x", 0.95),
        Goal("start-up", start, "s", most=5),
        Goal("incremental sync of 10,000 changes", _seconds(cases, "incremental", "10,000 rows changed"), "s", most=8),
        Goal("activation by merge, against the load", _of_load(cases), "x", most=1 / 3),
        Goal("four readers over 20 ms, against one", _readers(cases), "x", 3),
        Goal("CPU a row of Paralelo's own", _middle(mine, ours, _cpu), "us", most=9.6),
    ]


def shown(results: Sequence[Result], cases: Sequence[Line], fewer: Sequence[Result] = ()) -> str:
    """The goals as a table, and what of them Paralelo reaches with other drivers where those took part."""
    tables = [markdown(goals(results, cases, fewer))]
    for name in OTHER_DRIVERS:
        with_it = [goal for goal in goals(results, (), fewer, name) if goal.found is not None]
        if with_it:
            tables.append(f"{name}:\n\n{markdown(with_it)}")
    return "\n\n".join(tables)


def markdown(found: Sequence[Goal]) -> str:
    """The goals as a table."""
    lines = ["| goal | wanted | found | reached |", "|---|---|---|---|"]
    for goal in found:
        wanted = f"{goal.least:g} or more" if goal.least is not None else f"{goal.most:.3g} or less"
        figure = "" if goal.found is None else f"{goal.found:.2f} {goal.unit}"
        lines.append(f"| {goal.what} | {wanted} | {figure} | {goal.reached} |")
    return "\n".join(lines)


def _cpu(result: Result) -> float | None:
    return result.cost.client_cpu / result.rows * 1e6 if result.cost and result.rate else None


def _megabytes(result: Result) -> float | None:
    return result.cost.memory / 2**20 if result.cost and result.rate else None


def _rate_after(start: float | None) -> Figure:
    def rate(result: Result) -> float | None:
        if start is None or result.cost is None or not result.rate or result.cost.wall <= start:
            return None
        return result.rows / (result.cost.wall - start)

    return rate


def _middle(results: Sequence[Result], ours: str, of: Figure) -> float | None:
    found = [value for r in results if r.contender == ours and (value := of(r)) is not None]
    return median(found) if found else None


def _quotient(more: Sequence[Result], fewer: Sequence[Result], ours: str, of: Figure) -> float | None:
    above, below = _middle(more, ours, of), _middle(fewer, ours, of)
    return above / below if above and below else None


def _said(cases: Sequence[Line], case: str, words: str) -> Iterator[Line]:
    return (line for line in cases if line.case == case and words in line.what)


def _seconds(cases: Sequence[Line], case: str, words: str) -> float | None:
    return next((line.seconds for line in _said(cases, case, words)), None)


def _of_load(cases: Sequence[Line]) -> float | None:
    load, activation = _seconds(cases, "merge", "load of"), _seconds(cases, "merge", "activation")
    return activation / load if load and activation is not None else None


def _readers(cases: Sequence[Line]) -> float | None:
    told = next((re.search(r"([\d.]+) x one reader", line.note) for line in _said(cases, "latency", "readers")), None)
    return float(told[1]) if told else None
