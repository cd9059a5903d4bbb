"""Schema `tws`: what the workload scheduler was seen doing."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Double, ForeignKey, Index, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, synonym

from stores.models.base import Json, Model, counter, false, now, true


class TWSSnapshot(Model):
    """The whole plan at one moment."""

    __tablename__ = "tws_snapshots"
    __table_args__ = (Index(None, "ts"), {"schema": "tws"})

    ts: Mapped[now]
    snapshot_data: Mapped[Json]
    job_count: Mapped[counter]
    workstation_count: Mapped[counter]
    timestamp = synonym("ts")


class TWSJobStatus(Model):
    """One job run's state at one moment."""

    __tablename__ = "tws_job_status"
    __table_args__ = (
        UniqueConstraint("job_name", "run_number", "ts"),
        Index(None, "job_name", "ts"),
        Index(None, "workstation", "ts"),
        Index(None, "status", "ts"),
        Index(None, "snapshot_id", postgresql_where=text("snapshot_id IS NOT NULL")),
        Index(None, "ts"),
        {"schema": "tws"},
    )

    snapshot_id: Mapped[int | None] = mapped_column(ForeignKey("tws.tws_snapshots.id", ondelete="SET NULL"))
    job_name: Mapped[str]
    job_stream: Mapped[str | None]
    workstation: Mapped[str | None]
    status: Mapped[str]
    run_number: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    start_time: Mapped[datetime | None]
    end_time: Mapped[datetime | None]
    return_code: Mapped[int | None] = mapped_column(Integer)
    ts: Mapped[now]
    meta: Mapped[Json | None]
    timestamp = synonym("ts")
    metadata_ = synonym("meta")


class TWSWorkstationStatus(Model):
    """One workstation's state at one moment."""

    __tablename__ = "tws_workstation_status"
    __table_args__ = (Index(None, "workstation_name", "ts"), Index(None, "ts"), {"schema": "tws"})

    workstation_name: Mapped[str]
    status: Mapped[str]
    cpu_usage: Mapped[float | None] = mapped_column(Double)
    memory_usage: Mapped[float | None] = mapped_column(Double)
    active_jobs: Mapped[counter]
    ts: Mapped[now]
    meta: Mapped[Json | None]
    timestamp = synonym("ts")
    metadata_ = synonym("meta")


class TWSEvent(Model):
    """Something that happened; someone may have to acknowledge it."""

    __tablename__ = "tws_events"
    __table_args__ = (
        Index(None, "ts"),
        Index(None, "severity", "ts"),
        Index(None, "job_name", "ts"),
        Index("ix_tws_events_unacknowledged", "ts", postgresql_where=text("NOT acknowledged")),
        {"schema": "tws"},
    )

    event_type: Mapped[str]
    severity: Mapped[str] = mapped_column(server_default=text("'info'"))
    job_name: Mapped[str | None]
    workstation: Mapped[str | None]
    message: Mapped[str]
    details: Mapped[Json | None]
    ts: Mapped[now]
    acknowledged: Mapped[false]
    acknowledged_by: Mapped[str | None]
    acknowledged_at: Mapped[datetime | None]
    timestamp = synonym("ts")


class TWSPattern(Model):
    """Something that keeps happening."""

    __tablename__ = "tws_patterns"
    __table_args__ = (
        Index(None, "pattern_type", "job_name"),
        Index("ix_tws_patterns_active", "job_name", "confidence", postgresql_where=text("is_active")),
        {"schema": "tws"},
    )

    pattern_type: Mapped[str]
    job_name: Mapped[str | None]
    description: Mapped[str]
    confidence: Mapped[float] = mapped_column(Double, server_default=text("0"))
    occurrences: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    first_seen: Mapped[now]
    last_seen: Mapped[now]
    pattern_data: Mapped[Json | None]
    is_active: Mapped[true]


class TWSProblemSolution(Model):
    """What was done about a problem, and how often it helped."""

    __tablename__ = "tws_problem_solutions"
    __table_args__ = (Index(None, "problem_type", "job_name"), {"schema": "tws"})

    problem_type: Mapped[str]
    job_name: Mapped[str | None]
    problem_description: Mapped[str]
    solution: Mapped[str]
    success_count: Mapped[counter]
    failure_count: Mapped[counter]
    last_used: Mapped[datetime | None]
    created_at: Mapped[now]
    meta: Mapped[Json | None]
    metadata_ = synonym("meta")
