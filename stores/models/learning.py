"""Schema `learning`: what users thought of the answers, and what the assistant makes of it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Double, Index, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, synonym

from stores.models.base import Json, Model, now


class Feedback(Model):
    """One judgement of one answer."""

    __tablename__ = "feedback"
    __table_args__ = (
        Index(None, "created_at"),
        Index(None, "session_id", "created_at"),
        Index(None, "query_id", postgresql_where=text("query_id IS NOT NULL")),
        Index(None, "rating", "created_at"),
        {"schema": "learning"},
    )

    session_id: Mapped[str | None]
    query_id: Mapped[str | None]
    query_text: Mapped[str | None]
    response_text: Mapped[str | None]
    rating: Mapped[int | None] = mapped_column(Integer)
    feedback_type: Mapped[str] = mapped_column(server_default=text("'general'"))
    feedback_text: Mapped[str | None]
    is_positive: Mapped[bool | None]
    created_at: Mapped[now]
    meta: Mapped[Json | None]
    metadata_ = synonym("meta")


class LearningThreshold(Model):
    """A value that is tuned over time, and how it came to be."""

    __tablename__ = "learning_thresholds"
    __table_args__ = (UniqueConstraint("threshold_name"), {"schema": "learning"})

    threshold_name: Mapped[str]
    current_value: Mapped[float] = mapped_column(Double)
    min_value: Mapped[float] = mapped_column(Double, server_default=text("0"))
    max_value: Mapped[float] = mapped_column(Double, server_default=text("1"))
    adjustment_rate: Mapped[float] = mapped_column(Double, server_default=text("0.05"))
    last_adjusted: Mapped[datetime | None]
    adjustment_history: Mapped[Json] = mapped_column(server_default=text("'{\"changes\": []}'"))
    created_at: Mapped[now]
    updated_at: Mapped[now]


class ActiveLearningCandidate(Model):
    """An answer the assistant was unsure of, for a person to look at."""

    __tablename__ = "active_learning_candidates"
    __table_args__ = (
        Index(
            "ix_active_learning_candidates_waiting",
            text("uncertainty_score DESC"),
            "id",
            postgresql_where=text("status = 'pending'"),
        ),
        Index(None, "status", "reviewed_at"),
        Index(None, "created_at"),
        {"schema": "learning"},
    )

    query_text: Mapped[str]
    response_text: Mapped[str | None]
    uncertainty_score: Mapped[float] = mapped_column(Double)
    status: Mapped[str] = mapped_column(server_default=text("'pending'"))
    selected_label: Mapped[str | None]
    reviewer_id: Mapped[str | None]
    reviewed_at: Mapped[datetime | None]
    created_at: Mapped[now]
    meta: Mapped[Json | None]
    metadata_ = synonym("meta")
