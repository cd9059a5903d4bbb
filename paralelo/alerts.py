"""What deserves an operator's attention in a snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from sync_rules.exits import ConfigurationError

from paralelo.score import LEAST_RUNS, Past, comparable
from paralelo.snapshot import LIVE, Line, Snapshot
from paralelo.view import rows, size, span

Kind = Literal["stalled", "slow", "memory", "disk", "lag"]
KINDS: tuple[Kind, ...] = ("stalled", "slow", "memory", "disk", "lag")
_WARM_UP_SECONDS = 30.0


@dataclass(frozen=True)
class Limits:
    """Where attention begins: seconds, bytes, and shares between 0 and 1."""

    stalled_seconds: float = 300.0
    slow_share: float = 0.5
    memory_bytes: int | None = None
    memory_share: float = 0.85
    disk_free_share: float = 0.1
    lag_seconds: float = 3_600.0

    @classmethod
    def from_settings(cls, settings: Mapping[str, str], memory_bytes: int | None = None) -> Limits:
        """By PARALELO_STALLED_SECONDS, PARALELO_LAG_LIMIT_SECONDS and PARALELO_MEMORY_LIMIT_MB."""
        megabytes = _number(settings, "PARALELO_MEMORY_LIMIT_MB")
        return cls(
            stalled_seconds=_number(settings, "PARALELO_STALLED_SECONDS") or cls.stalled_seconds,
            lag_seconds=_number(settings, "PARALELO_LAG_LIMIT_SECONDS") or cls.lag_seconds,
            memory_bytes=int(megabytes * 1_000_000) if megabytes else memory_bytes,
        )


@dataclass(frozen=True)
class Disk:
    """A file system: where, how much of it is free, how big it is. Bytes."""

    name: str
    free: int
    total: int


@dataclass(frozen=True)
class Alert:
    """One thing to look at; `table` is empty where it concerns them all."""

    kind: Kind
    table: str
    text: str


def alerts(
    snapshot: Snapshot, limits: Limits, history: Mapping[tuple[str, str], Sequence[Past]], disks: Sequence[Disk] = ()
) -> tuple[Alert, ...]:
    """What is out of bounds. `history` holds, by (table, mode), the earlier runs."""
    return (*_of_tables(snapshot, limits, history), *_of_machine(snapshot, limits, disks))


def _of_tables(
    snapshot: Snapshot, limits: Limits, history: Mapping[tuple[str, str], Sequence[Past]]
) -> Iterator[Alert]:
    lagging = set()
    for line in snapshot.lines:
        idle = line.idle_seconds
        if line.phase in LIVE and idle is not None and idle >= limits.stalled_seconds:
            yield Alert("stalled", line.table, f"{line.table}: nothing committed for {span(idle)} ({line.phase})")
        usual = _usual(line, comparable(history.get((line.table, line.mode), ()), line.estimate or line.committed))
        if usual is not None and line.rate_average is not None and line.rate_average < limits.slow_share * usual:
            yield Alert("slow", line.table, f"{line.table}: {rows(line.rate_average)} rows/s, usually {rows(usual)}")
        if line.lag_seconds is not None and line.lag_seconds > limits.lag_seconds and line.table not in lagging:
            # The lag is the table's, whichever of its syncs is looked at.
            lagging.add(line.table)
            yield Alert("lag", line.table, f"{line.table}: {span(line.lag_seconds)} behind the source")


def _usual(line: Line, rates: Sequence[float]) -> float | None:
    if line.phase not in ("reading", "loading") or line.seconds < _WARM_UP_SECONDS or len(rates) < LEAST_RUNS:
        return None
    return median(rates)


def _of_machine(snapshot: Snapshot, limits: Limits, disks: Sequence[Disk]) -> Iterator[Alert]:
    limit, used = limits.memory_bytes, snapshot.usage.memory
    if limit and used >= limits.memory_share * limit:
        yield Alert("memory", "", f"the syncs use {size(used)} of {size(limit)} memory")
    for disk in disks:
        if disk.total and disk.free < limits.disk_free_share * disk.total:
            yield Alert("disk", "", f"{size(disk.free)} of {size(disk.total)} free where {disk.name} is")


def _number(settings: Mapping[str, str], name: str) -> float | None:
    text = settings.get(name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise ConfigurationError(f"{name} is not a number") from error
    if not value > 0:
        raise ConfigurationError(f"{name} is not above 0")
    return value
