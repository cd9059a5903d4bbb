"""How well a run does against its own history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

Grade = Literal["excellent", "good", "needs attention"]
LEAST_RUNS = 3
_ALIKE = 4


@dataclass(frozen=True)
class Score:
    """`points` of 100, and why they are not more. Speed counts 70, a run without recoveries 20, no rejects 10."""

    points: int
    grade: Grade
    why: str = ""


@dataclass(frozen=True)
class Past:
    """An earlier run: its rows, and its rows a second."""

    rows: int
    rate: float


def comparable(history: Sequence[Past], rows: int | None) -> list[float]:
    """The rates of earlier runs of about this many rows: of a small run, most of the time is Meltano's start."""
    if not rows:
        return []
    return [past.rate for past in history if rows / _ALIKE <= past.rows <= rows * _ALIKE]


def score(rate: float | None, history: Sequence[float], recoveries: int = 0, rejected: int = 0) -> Score | None:
    """The score of a run at this rate (rows/s); None while it has no rate, or too short a history to compare with."""
    if rate is None or len(history) < LEAST_RUNS:
        return None
    usual = median(history)
    share = rate / usual if usual > 0 else 1.0
    points = round(70 * min(1.0, share) + max(0, 20 - 10 * recoveries) + (10 if not rejected else 0))
    reasons = []
    if share < 0.9:
        reasons.append(f"{100 * share:.0f}% of its usual {usual:,.0f} rows/s")
    if recoveries:
        reasons.append(f"{recoveries} recoveries" if recoveries > 1 else "1 recovery")
    if rejected:
        reasons.append(f"{rejected:,} rows rejected")
    grade: Grade = "excellent" if points >= 90 else "good" if points >= 70 else "needs attention"
    return Score(points, grade, ", ".join(reasons))
