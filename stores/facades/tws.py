"""TWSStore: job states, events, patterns and solutions, once `tws_status.db`."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from stores.engine import Database
from stores.facades.base import Facade
from stores.models import TWSEvent, TWSJobStatus, TWSPattern, TWSProblemSolution, TWSSnapshot, TWSWorkstationStatus
from stores.moments import utc_now
from stores.repositories.tws import (
    JobStatus,
    PatternMatch,
    TWSEventRepository,
    TWSJobStatusRepository,
    TWSPatternRepository,
    TWSProblemSolutionRepository,
    TWSSnapshotRepository,
    TWSWorkstationStatusRepository,
)

__all__ = ["JobStatus", "PatternMatch", "TWSStore"]

_log = logging.getLogger("stores")


class TWSStore(Facade):
    """What the workload scheduler was seen doing."""

    def __init__(self, db_path: str | Path | None = None, *, db: Database | None = None) -> None:
        super().__init__(db_path, db=db)
        self.snapshots = TWSSnapshotRepository(db)
        self.jobs = TWSJobStatusRepository(db)
        self.workstations = TWSWorkstationStatusRepository(db)
        self.events = TWSEventRepository(db)
        self.patterns = TWSPatternRepository(db)
        self.solutions = TWSProblemSolutionRepository(db)

    async def create_snapshot(
        self, snapshot_data: dict[str, Any], job_count: int = 0, workstation_count: int = 0
    ) -> TWSSnapshot:
        """Write a snapshot of the plan."""
        return await self.snapshots.create_snapshot(snapshot_data, job_count, workstation_count)

    async def update_job_status(self, job: JobStatus, snapshot_id: int | None = None) -> TWSJobStatus:
        """Bring a job run's state up to date, or write its first."""
        return await self.jobs.upsert_job_status(job, snapshot_id)

    async def get_job_status(self, job_name: str) -> TWSJobStatus | None:
        """A job's newest state."""
        return await self.jobs.get_latest({"job_name": job_name})

    async def get_job_history(self, job_name: str, limit: int = 100) -> list[TWSJobStatus]:
        """A job's states, newest first."""
        return await self.jobs.get_job_history(job_name, limit)

    async def get_failed_jobs(self, hours: int = 24, limit: int = 100) -> list[TWSJobStatus]:
        """Runs that failed in the last hours, newest first."""
        return await self.jobs.get_failed_jobs(utc_now() - timedelta(hours=hours), limit)

    async def get_status_summary(self) -> dict[str, int]:
        """How many rows there are of each state."""
        return await self.jobs.get_status_summary()

    async def get_jobs_by_workstation(self, workstation: str, limit: int = 100) -> list[TWSJobStatus]:
        """A workstation's runs, newest first."""
        return await self.jobs.get_jobs_by_workstation(workstation, limit)

    async def update_workstation_status(
        self, workstation_name: str, status: str, active_jobs: int = 0, metadata: dict[str, Any] | None = None
    ) -> TWSWorkstationStatus:
        """Write a workstation's state."""
        return await self.workstations.record_status(workstation_name, status, active_jobs, metadata=metadata)

    async def log_event(
        self,
        event_type: str,
        message: str,
        severity: str = "info",
        job_name: str | None = None,
        details: dict[str, Any] | None = None,
        workstation: str | None = None,
    ) -> TWSEvent:
        """Write an event."""
        return await self.events.log_event(event_type, message, severity, job_name, workstation, details)

    async def get_events(
        self, limit: int = 100, severity: str | None = None, job_name: str | None = None
    ) -> list[TWSEvent]:
        """Events, newest first, of a severity and a job where these are given."""
        wanted = {"severity": severity, "job_name": job_name}
        return await self.events.newest({name: value for name, value in wanted.items() if value}, limit)

    async def get_events_in_range(self, start: datetime, end: datetime, limit: int = 1000) -> list[TWSEvent]:
        """Events from `start` to `end`, newest first."""
        return await self.events.find_in_range(start, end, limit=limit)

    async def get_unacknowledged_events(self, limit: int = 100) -> list[TWSEvent]:
        """Events nobody has acknowledged, newest first."""
        return await self.events.get_unacknowledged(limit)

    async def acknowledge_event(self, event_id: int, acknowledged_by: str) -> TWSEvent | None:
        """Acknowledge an event."""
        return await self.events.acknowledge_event(event_id, acknowledged_by)

    async def detect_pattern(self, pattern: PatternMatch) -> TWSPattern:
        """Count another occurrence of a pattern, or write it for the first time."""
        return await self.patterns.upsert_pattern(pattern)

    async def get_patterns(self, job_name: str | None = None, min_confidence: float = 0.5) -> list[TWSPattern]:
        """Active patterns at least that certain, the most certain first."""
        return await self.patterns.get_active_patterns(job_name, min_confidence)

    async def add_solution(
        self,
        problem_type: str,
        problem_description: str,
        solution: str,
        job_name: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> TWSProblemSolution:
        """Write a solution of a problem."""
        return await self.solutions.add_solution(problem_type, problem_description, solution, job_name, metadata)

    async def find_solution(self, problem_type: str, job_name: str | None = None) -> TWSProblemSolution | None:
        """The solution that helped most often."""
        return await self.solutions.find_solution(problem_type, job_name)

    async def record_solution_outcome(self, solution_id: int, success: bool) -> TWSProblemSolution | None:
        """Count whether a solution helped."""
        return await self.solutions.record_outcome(solution_id, success)

    async def cleanup_old_data(self, days: int = 30) -> dict[str, int]:
        """Delete what is older than that. Returns how many rows of each kind."""
        cutoff = utc_now() - timedelta(days=days)
        deleted = {
            "jobs": await self.jobs.delete_older_than(cutoff),
            "workstations": await self.workstations.delete_older_than(cutoff),
            "events": await self.events.delete_older_than(cutoff),
            "snapshots": await self.snapshots.delete_older_than(cutoff),
        }
        _log.info("deleted from before %s: %s", cutoff.isoformat(timespec="seconds"), deleted)
        return deleted
