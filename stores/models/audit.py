"""Schema `audit`: who did what, and the queue of what has to be looked at."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column, synonym

from stores.models.base import Json, Model, counter, now

QUEUE_STATES = ("pending", "processing", "completed", "failed", "approved", "rejected")
"""`approved` and `rejected` are what a reviewer says; the others are a worker's."""


class AuditEntry(Model):
    """One action, by whom, on what."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index(None, "ts"),
        Index(None, "user_id", "ts"),
        Index(None, "entity_type", "entity_id", "ts"),
        Index(None, "action", "ts"),
        {"schema": "audit"},
    )

    action: Mapped[str]
    user_id: Mapped[str | None]
    entity_type: Mapped[str | None]
    entity_id: Mapped[str | None]
    old_value: Mapped[Json | None]
    new_value: Mapped[Json | None]
    ip_address: Mapped[str | None]
    user_agent: Mapped[str | None]
    ts: Mapped[now]
    meta: Mapped[Json | None]
    timestamp = synonym("ts")
    metadata_ = synonym("meta")


class AuditQueueItem(Model):
    """Work that waits. `processed_at` is when a worker took it last."""

    __tablename__ = "audit_queue"
    __table_args__ = (
        CheckConstraint(f"status IN {QUEUE_STATES!r}", name="status"),
        Index(
            "ix_audit_queue_waiting",
            text("priority DESC"),
            "created_at",
            "id",
            postgresql_where=text("status = 'pending'"),
        ),
        Index("ix_audit_queue_taken", "processed_at", postgresql_where=text("status = 'processing'")),
        Index(None, "status", "created_at"),
        Index(
            "ix_audit_queue_memory",
            text("(payload ->> 'memory_id')"),
            postgresql_where=text("payload ? 'memory_id'"),
        ),
        {"schema": "audit"},
    )

    action: Mapped[str]
    payload: Mapped[Json]
    status: Mapped[str] = mapped_column(server_default=text("'pending'"))
    priority: Mapped[counter]
    retry_count: Mapped[counter]
    max_retries: Mapped[int] = mapped_column(Integer, server_default=text("3"))
    error_message: Mapped[str | None]
    created_at: Mapped[now]
    processed_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
