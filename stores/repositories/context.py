"""Conversations and content."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Select, func, or_, select, update

from stores.models import ContextContent, Conversation
from stores.repositories.base import BaseRepository
from stores.repositories.timestamped import TimestampedRepository

_WORD = re.compile(r"\w+")


def words(query: str) -> str | None:
    """The query's words as a text search that finds each of them, also as the beginning of a longer word.

    None for a query without a word.
    """
    found = _WORD.findall(query)
    return " & ".join(f"{word}:*" for word in found) if found else None


def substring(query: str) -> str:
    """The query as a LIKE pattern in which nothing but the ends is special."""
    escaped = query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


class ConversationRepository(TimestampedRepository[Conversation]):
    """Messages."""

    model = Conversation

    async def add_message(
        self,
        session_id: str,
        role: str,
        content: str,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        embedding_id: str | None = None,
    ) -> Conversation:
        """Write a message."""
        return await self.create(
            session_id=session_id,
            role=role,
            content=content,
            user_id=user_id,
            meta=metadata or {},
            embedding_id=embedding_id,
        )

    async def get_session_history(self, session_id: str, limit: int = 100) -> list[Conversation]:
        """A session's messages, oldest first."""
        return await self.find({"session_id": session_id}, limit=limit, order_by="ts")

    async def search_conversations(self, query: str, limit: int = 50) -> list[Conversation]:
        """Messages that hold the query's words, newest first; where none does, those that hold it as it stands."""
        newest = select(Conversation).order_by(Conversation.ts.desc(), Conversation.id.desc()).limit(limit)
        vector = func.to_tsvector("simple", Conversation.content)
        return await self._by_words(newest, vector, query) or await self.rows(
            newest.where(Conversation.content.ilike(substring(query), escape="\\"))
        )

    async def _by_words(self, newest: Select[Any], vector: Any, query: str) -> list[Conversation]:
        wanted = words(query)
        if wanted is None:
            return []
        return await self.rows(newest.where(vector.op("@@")(func.to_tsquery("simple", wanted))))

    async def flag_conversation(self, conv_id: int) -> Conversation | None:
        """Flag a message for review."""
        return await self.update(conv_id, is_flagged=True, is_approved=False)

    async def approve_conversation(self, conv_id: int) -> Conversation | None:
        """Approve a flagged message."""
        return await self.update(conv_id, is_approved=True)

    async def flag_where_approved_is(self, conv_id: int, expected_approved: bool) -> bool:
        """Flag a message if its approval is as expected, in one statement. Returns whether it was."""
        changed = (
            update(Conversation)
            .where(Conversation.id == conv_id, Conversation.is_approved == expected_approved)
            .values(is_flagged=True, is_approved=False)
        )
        return await self.run(changed) > 0


class ContextContentRepository(BaseRepository[ContextContent]):
    """Content."""

    model = ContextContent

    async def add_content(
        self,
        content_type: str,
        content: str,
        title: str | None = None,
        source: str | None = None,
        summary: str | None = None,
        metadata: dict[str, Any] | None = None,
        embedding_id: str | None = None,
    ) -> ContextContent:
        """Write a piece of content."""
        return await self.create(
            content_type=content_type,
            content=content,
            title=title,
            source=source,
            summary=summary,
            meta=metadata or {},
            embedding_id=embedding_id,
        )

    async def search_content(
        self, query: str, content_type: str | None = None, limit: int = 50
    ) -> list[ContextContent]:
        """Active content that holds the query's words, newest first; where none does, that holds it as it stands."""
        newest = select(ContextContent).where(ContextContent.is_active)
        if content_type:
            newest = newest.where(ContextContent.content_type == content_type)
        newest = newest.order_by(ContextContent.updated_at.desc(), ContextContent.id.desc()).limit(limit)
        wanted = words(query)
        if wanted:
            text = func.coalesce(ContextContent.title, "").op("||")(" ").op("||")(ContextContent.content)
            vector = func.to_tsvector("simple", text)
            found = await self.rows(newest.where(vector.op("@@")(func.to_tsquery("simple", wanted))))
            if found:
                return found
        pattern = substring(query)
        return await self.rows(
            newest.where(
                or_(
                    ContextContent.content.ilike(pattern, escape="\\"), ContextContent.title.ilike(pattern, escape="\\")
                )
            )
        )
