"""Schema `context`: what was said, and what is worth remembering."""

from __future__ import annotations

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, synonym

from stores.models.base import Json, Model, false, now, true


class Conversation(Model):
    """One message of a session: the user's or the assistant's."""

    __tablename__ = "conversations"
    __table_args__ = (
        Index(None, "session_id", "ts"),
        Index(None, "user_id", "ts", postgresql_where=text("user_id IS NOT NULL")),
        Index(None, "ts"),
        Index("ix_conversations_flagged", "ts", postgresql_where=text("is_flagged")),
        Index("ix_conversations_words", text("to_tsvector('simple', content)"), postgresql_using="gin"),
        {"schema": "context"},
    )

    session_id: Mapped[str]
    user_id: Mapped[str | None]
    role: Mapped[str]
    content: Mapped[str]
    ts: Mapped[now]
    meta: Mapped[Json | None]
    embedding_id: Mapped[str | None]
    is_flagged: Mapped[false]
    is_approved: Mapped[false]
    timestamp = synonym("ts")
    metadata_ = synonym("meta")


class ContextContent(Model):
    """A document, a solution or an observation."""

    __tablename__ = "context_content"
    __table_args__ = (
        Index(None, "content_type", "updated_at"),
        Index(None, "updated_at"),
        Index(
            "ix_context_content_words",
            text("to_tsvector('simple', (coalesce(title, '') || ' ') || content)"),
            postgresql_using="gin",
        ),
        {"schema": "context"},
    )

    content_type: Mapped[str]
    source: Mapped[str | None]
    title: Mapped[str | None]
    content: Mapped[str]
    summary: Mapped[str | None]
    created_at: Mapped[now]
    updated_at: Mapped[now]
    meta: Mapped[Json | None]
    embedding_id: Mapped[str | None]
    is_active: Mapped[true]
    metadata_ = synonym("meta")
