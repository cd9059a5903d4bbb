"""One moment of a run as the live view, the metrics and the alerts see it. Values only; where they come from is
elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from paralelo.progress import Progress
from paralelo.usage import Usage

Phase = Literal[
    "waiting", "starting", "reading", "loading", "checking", "activating", "pausing", "done", "failed", "stopped"
]
LIVE: frozenset[Phase] = frozenset({"starting", "reading", "loading", "checking", "activating"})
ENDED: frozenset[Phase] = frozenset({"done", "failed", "stopped"})
_COMMITTING_SECONDS = 5.0


@dataclass(frozen=True)
class Line:
    """What is known of one table's sync now. Rows a second; seconds; None where nobody knows."""

    table: str
    mode: str
    phase: Phase
    committed: int = 0
    estimate: int | None = None
    rate_now: float | None = None
    rate_average: float | None = None
    attempt: int = 1
    lag_seconds: float | None = None
    idle_seconds: float | None = None
    seconds: float = 0.0
    note: str = ""

    @property
    def percent(self) -> float | None:
        """Of the estimate; 100 once it is done, and never more."""
        if self.phase == "done":
            return 100.0
        return min(100.0, 100 * self.committed / self.estimate) if self.estimate else None

    @property
    def eta_seconds(self) -> float | None:
        """At the rate of now, else on average."""
        rate = self.rate_now or self.rate_average
        if self.phase not in LIVE or not self.estimate or not rate:
            return None
        return max(0, self.estimate - self.committed) / rate


@dataclass(frozen=True)
class Snapshot:
    """All tables of a run at one moment."""

    at: datetime
    lines: tuple[Line, ...]
    usage: Usage = field(default_factory=Usage)
    alerts: tuple[str, ...] = ()

    @property
    def committed(self) -> int:
        """Rows over all tables."""
        return sum(line.committed for line in self.lines)

    @property
    def rate_now(self) -> float:
        """Rows a second over all tables."""
        return sum(line.rate_now or 0.0 for line in self.lines)


@dataclass(frozen=True)
class Pace:
    """Rows a second, from two counts of the same sync."""

    now: float | None
    average: float | None


def pace(progress: Progress, since: datetime, earlier: Progress | None, window_seconds: float) -> Pace:
    """The rates of a sync whose run began at `since`, by the target's clock.

    A full sync's ledger says itself what was committed a window ago. An incremental one keeps a running count only, so
    `earlier`, an older look at the same sync, serves; without one the average does.
    """
    at = progress.now
    if at is None:
        return Pace(None, None)
    until = progress.finished_at if progress.whole and progress.finished_at else at
    elapsed = (until - since).total_seconds()
    average = (progress.committed - progress.rows_earlier) / elapsed if elapsed > 0 else None
    if progress.whole:
        return Pace(None, average)
    if progress.rows_before is not None:
        # The sync itself begins some seconds after its job: a new one when its first schema reaches the target.
        reading = (at - max(since, progress.created_at or since)).total_seconds()
        span = min(window_seconds, reading) if reading > 0 else window_seconds
        before = max(progress.rows_before, progress.rows_earlier)
        return Pace(max(0.0, (progress.committed - before) / span), average)
    if earlier is not None and earlier.now is not None and earlier.sync_id == progress.sync_id:
        span = (at - earlier.now).total_seconds()
        return Pace(max(0.0, (progress.committed - earlier.committed) / span) if span > 0 else average, average)
    return Pace(average, average)


def phase(progress: Progress | None, alive: Iterable[str], since: datetime) -> Phase:
    """What a running job is doing, from its ledger entry and from which of its processes live."""
    roles = frozenset(alive)
    if progress is not None and progress.whole:
        # It has taken effect; its processes are about to end.
        return "activating" if progress.mode == "full" else "loading"
    if progress is None or "target" not in roles:
        return "starting"
    if progress.prepared:
        return "activating"
    if "tap" not in roles:
        return "checking"
    committed, now = progress.last_commit, progress.now
    if committed is None or now is None or committed < since:
        return "reading"
    return "loading" if (now - committed).total_seconds() <= _COMMITTING_SECONDS else "reading"


def of_this_run(progress: Progress | None, since: datetime) -> Progress | None:
    """The ledger's entry if the run that began at `since` writes it or goes on with it; else None."""
    if progress is None or progress.status == "abandoned":
        return None
    touched = progress.updated_at
    if touched is not None and touched >= since:
        return progress
    return progress if progress.status == "staging" else None


def by_table(entries: Iterable[Progress]) -> Mapping[tuple[str, str, str], Progress]:
    """By (schema, table, mode)."""
    return {(entry.schema, entry.table, entry.mode): entry for entry in entries}
