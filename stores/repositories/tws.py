"""The scheduler's tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from stores.models import TWSEvent, TWSJobStatus, TWSPattern, TWSProblemSolution, TWSSnapshot, TWSWorkstationStatus
from stores.moments import utc_now
from stores.repositories.base import BaseRepository
from stores.repositories.timestamped import TimestampedRepository

FAILED = ("failed", "FAILED", "ABEND", "ERROR")
"""The states in which a job counts as failed."""


@dataclass
class JobStatus:
    """One job run's state, as the application tells it."""

    job_name: str
    status: str
    job_stream: str | None = None
    workstation: str | None = None
    run_number: int = 1
    start_time: datetime | None = None
    end_time: datetime | None = None
    return_code: int | None = None
    timestamp: datetime = field(default_factory=utc_now)
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """By name; times as ISO 8601 text."""
        return _plain(asdict(self))


@dataclass
class PatternMatch:
    """Something that was seen to keep happening."""

    pattern_type: str
    job_name: str | None
    description: str
    confidence: float
    occurrences: int = 1
    first_seen: datetime = field(default_factory=utc_now)
    last_seen: datetime = field(default_factory=utc_now)
    pattern_data: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """By name; times as ISO 8601 text."""
        return _plain(asdict(self))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


class TWSSnapshotRepository(TimestampedRepository[TWSSnapshot]):
    """Snapshots of the plan."""

    model = TWSSnapshot

    async def create_snapshot(
        self, snapshot_data: dict[str, Any], job_count: int = 0, workstation_count: int = 0
    ) -> TWSSnapshot:
        """Write a snapshot."""
        return await self.create(snapshot_data=snapshot_data, job_count=job_count, workstation_count=workstation_count)


class TWSJobStatusRepository(TimestampedRepository[TWSJobStatus]):
    """States of job runs."""

    model = TWSJobStatus

    async def upsert_job_status(self, job: JobStatus, snapshot_id: int | None = None) -> TWSJobStatus:
        """Bring the newest row of the run up to date, or write its first."""
        found = await self.named(
            "tws.upsert_job_status",
            turn=f"{job.job_name}:{job.run_number}",
            snapshot_id=snapshot_id,
            job_name=job.job_name,
            job_stream=job.job_stream,
            workstation=job.workstation,
            status=job.status,
            run_number=job.run_number,
            start_time=job.start_time,
            end_time=job.end_time,
            return_code=job.return_code,
            ts=job.timestamp,
            meta=job.metadata,
        )
        return found[0]

    async def get_job_history(self, job_name: str, limit: int = 100) -> list[TWSJobStatus]:
        """A job's rows, newest first."""
        return await self.newest({"job_name": job_name}, limit)

    async def get_failed_jobs(self, since: datetime | None = None, limit: int = 100) -> list[TWSJobStatus]:
        """Failed runs, newest first."""
        return await self.newest_since(since, {"status": FAILED}, limit)

    async def get_jobs_by_workstation(self, workstation: str, limit: int = 100) -> list[TWSJobStatus]:
        """A workstation's runs, newest first."""
        return await self.newest({"workstation": workstation}, limit)

    async def get_status_summary(self) -> dict[str, int]:
        """How many rows there are of each state."""
        return {row["status"]: row["count"] for row in await self.values("tws.status_summary")}


class TWSWorkstationStatusRepository(TimestampedRepository[TWSWorkstationStatus]):
    """States of workstations."""

    model = TWSWorkstationStatus

    async def record_status(
        self,
        workstation_name: str,
        status: str,
        active_jobs: int = 0,
        cpu_usage: float | None = None,
        memory_usage: float | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> TWSWorkstationStatus:
        """Write a state."""
        return await self.create(
            workstation_name=workstation_name,
            status=status,
            active_jobs=active_jobs,
            cpu_usage=cpu_usage,
            memory_usage=memory_usage,
            meta=metadata or {},
        )


class TWSEventRepository(TimestampedRepository[TWSEvent]):
    """Events."""

    model = TWSEvent

    async def log_event(
        self,
        event_type: str,
        message: str,
        severity: str = "info",
        job_name: str | None = None,
        workstation: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> TWSEvent:
        """Write an event."""
        return await self.create(
            event_type=event_type,
            message=message,
            severity=severity,
            job_name=job_name,
            workstation=workstation,
            details=details or {},
        )

    async def get_unacknowledged(self, limit: int = 100) -> list[TWSEvent]:
        """Events nobody has acknowledged, newest first."""
        return await self.newest({"acknowledged": False}, limit)

    async def acknowledge_event(self, event_id: int, acknowledged_by: str) -> TWSEvent | None:
        """Acknowledge an event."""
        return await self.update(
            event_id, acknowledged=True, acknowledged_by=acknowledged_by, acknowledged_at=utc_now()
        )

    async def get_events_by_severity(
        self, severity: str, since: datetime | None = None, limit: int = 100
    ) -> list[TWSEvent]:
        """Events of a severity, newest first."""
        return await self.newest_since(since, {"severity": severity}, limit)


class TWSPatternRepository(BaseRepository[TWSPattern]):
    """Patterns."""

    model = TWSPattern

    async def upsert_pattern(self, pattern: PatternMatch) -> TWSPattern:
        """Count another occurrence of the pattern, or write it for the first time."""
        found = await self.named(
            "tws.upsert_pattern",
            turn=f"{pattern.pattern_type}:{pattern.job_name}",
            pattern_type=pattern.pattern_type,
            job_name=pattern.job_name,
            description=pattern.description,
            confidence=pattern.confidence,
            occurrences=pattern.occurrences,
            first_seen=pattern.first_seen,
            last_seen=pattern.last_seen,
            pattern_data=pattern.pattern_data or None,
        )
        return found[0]

    async def get_active_patterns(self, job_name: str | None = None, min_confidence: float = 0.5) -> list[TWSPattern]:
        """Active patterns at least that certain, the most certain first."""
        return await self.named("tws.active_patterns", job_name=job_name or None, min_confidence=min_confidence)


class TWSProblemSolutionRepository(BaseRepository[TWSProblemSolution]):
    """Solutions."""

    model = TWSProblemSolution

    async def add_solution(
        self,
        problem_type: str,
        problem_description: str,
        solution: str,
        job_name: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> TWSProblemSolution:
        """Write a solution."""
        return await self.create(
            problem_type=problem_type,
            job_name=job_name,
            problem_description=problem_description,
            solution=solution,
            meta=metadata or {},
        )

    async def find_solution(self, problem_type: str, job_name: str | None = None) -> TWSProblemSolution | None:
        """The solution that helped most often; for a job, its own or one that is for every job."""
        rows = await self.named("tws.best_solution", problem_type=problem_type, job_name=job_name or None)
        return rows[0] if rows else None

    async def record_outcome(self, solution_id: int, success: bool) -> TWSProblemSolution | None:
        """Count whether a solution helped."""
        rows = await self.named("tws.record_outcome", id=solution_id, success=success)
        return rows[0] if rows else None
