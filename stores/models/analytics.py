"""Schema `analytics`: who uses the assistant, and how."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Double, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, synonym

from stores.models.base import Json, Model, counter, now


class UserProfile(Model):
    """One user."""

    __tablename__ = "user_profiles"
    __table_args__ = (UniqueConstraint("user_id"), Index(None, "last_active"), {"schema": "analytics"})

    user_id: Mapped[str]
    preferences: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    behavior_patterns: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    skill_level: Mapped[str | None]
    total_sessions: Mapped[counter]
    total_queries: Mapped[counter]
    last_active: Mapped[datetime | None]
    created_at: Mapped[now]
    updated_at: Mapped[now]


class SessionHistory(Model):
    """One session of a user."""

    __tablename__ = "session_history"
    __table_args__ = (
        UniqueConstraint("session_id"),
        Index(None, "user_id", "started_at"),
        Index(None, "started_at"),
        {"schema": "analytics"},
    )

    session_id: Mapped[str]
    user_id: Mapped[str] = mapped_column(ForeignKey("analytics.user_profiles.user_id", ondelete="CASCADE"))
    started_at: Mapped[now]
    ended_at: Mapped[datetime | None]
    duration_seconds: Mapped[float | None] = mapped_column(Double)
    query_count: Mapped[counter]
    actions: Mapped[Json | None]
    meta: Mapped[Json | None]
    metadata_ = synonym("meta")
