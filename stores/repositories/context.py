"""Conversations and content."""

from __future__ import annotations

import re
from typing import Any

from stores.models import ContextContent, Conversation
from stores.repositories.base import BaseRepository
from stores.repositories.rows import Where
from stores.repositories.timestamped import TimestampedRepository

_WORD = re.compile(r"\w+")
_MOST_WORDS = 1_000


def words(query: str) -> str | None:
    """The query's words as a text search that finds each of them, also as the beginning of a longer word.

    None for a query without a word, and for one of so many that PostgreSQL's stack might not hold the search.
    """
    found = dict.fromkeys(_WORD.findall(query))
    return " & ".join(f"{word}:*" for word in found) if 0 < len(found) <= _MOST_WORDS else None


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
        wanted = words(query)
        found = await self.named("context.conversations_by_words", words=wanted, limit=limit) if wanted else []
        return found or await self.named("context.conversations_holding", pattern=substring(query), limit=limit)

    async def flag_conversation(self, conv_id: int) -> Conversation | None:
        """Flag a message for review."""
        return await self.update(conv_id, is_flagged=True, is_approved=False)

    async def approve_conversation(self, conv_id: int) -> Conversation | None:
        """Approve a flagged message."""
        return await self.update(conv_id, is_approved=True)

    async def flag_where_approved_is(self, conv_id: int, expected_approved: bool) -> bool:
        """Flag a message if its approval is as expected, in one statement. Returns whether it was."""
        where = Where(Conversation).equal({"id": conv_id, "is_approved": expected_approved})
        return await self.update_where(where, is_flagged=True, is_approved=False) is not None


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
        given: dict[str, Any] = {"content_type": content_type or None, "limit": limit}
        wanted = words(query)
        found = await self.named("context.content_by_words", words=wanted, **given) if wanted else []
        return found or await self.named("context.content_holding", pattern=substring(query), **given)
