"""ContextStore: conversations and content, once `context_store.db`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stores.engine import Database
from stores.facades.base import Facade
from stores.models import ContextContent, Conversation
from stores.repositories.context import ContextContentRepository, ConversationRepository


class ContextStore(Facade):
    """What was said, and what is worth remembering. A memory is a message of a conversation."""

    def __init__(self, db_path: str | Path | None = None, *, db: Database | None = None) -> None:
        super().__init__(db_path, db=db)
        self.conversations = ConversationRepository(db)
        self.content = ContextContentRepository(db)

    async def add_conversation(
        self,
        session_id: str,
        role: str,
        content: str,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        embedding_id: str | None = None,
    ) -> Conversation:
        """Write a message."""
        return await self.conversations.add_message(session_id, role, content, user_id, metadata, embedding_id)

    async def get_session_history(self, session_id: str, limit: int = 100) -> list[Conversation]:
        """A session's messages, oldest first."""
        return await self.conversations.get_session_history(session_id, limit)

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
        return await self.content.add_content(content_type, content, title, source, summary, metadata, embedding_id)

    async def get_relevant_context(self, query: str, limit: int = 10) -> list[dict[str, Any]]:
        """Messages and content that fit a query, at most `limit` of both together."""
        messages = await self.conversations.search_conversations(query, limit=max(1, limit // 2))
        content = await self.content.search_content(query, limit=max(1, limit - len(messages)))
        found: list[dict[str, Any]] = [
            {
                "type": "conversation",
                "content": message.content,
                "timestamp": message.ts.isoformat(),
                "session_id": message.session_id,
            }
            for message in messages
        ]
        found += [
            {"type": piece.content_type, "content": piece.content, "title": piece.title, "source": piece.source}
            for piece in content
        ]
        return found[:limit]

    async def search_conversations(self, query: str, limit: int = 50) -> list[Conversation]:
        """Messages that fit a query, newest first."""
        return await self.conversations.search_conversations(query, limit)

    async def search_similar_issues(self, query: str, limit: int = 10) -> list[dict[str, Any]]:
        """Messages and content that fit a query."""
        return await self.get_relevant_context(query, limit)

    async def flag_memory(self, conversation_id: int) -> bool:
        """Flag a message for review. Returns whether it is there."""
        return await self.conversations.flag_conversation(conversation_id) is not None

    async def approve_memory(self, conversation_id: int) -> bool:
        """Approve a message. Returns whether it is there."""
        return await self.conversations.approve_conversation(conversation_id) is not None

    async def is_memory_flagged(self, conversation_id: int) -> bool:
        """Whether a message is flagged."""
        found = await self.conversations.get_by_id(conversation_id)
        return found is not None and found.is_flagged

    async def is_memory_approved(self, conversation_id: int) -> bool:
        """Whether a message is approved."""
        found = await self.conversations.get_by_id(conversation_id)
        return found is not None and found.is_approved

    async def delete_memory(self, conversation_id: int) -> bool:
        """Delete a message. Returns whether it was there."""
        return await self.conversations.delete(conversation_id)

    async def add_observations(self, session_id: str, observations: list[str]) -> None:
        """Write down what was observed in a session."""
        rows = [
            {"content_type": "observation", "content": text, "meta": {"session_id": session_id}}
            for text in observations
        ]
        await self.content.create_many(rows)

    async def add_solution_feedback(self, session_id: str, problem: str, solution: str, was_helpful: bool) -> None:
        """Write down whether a solution helped."""
        about = {"session_id": session_id, "was_helpful": was_helpful}
        await self.add_content("solution", solution, summary=problem, metadata=about)

    async def atomic_check_and_flag(self, conversation_id: int, expected_approved: bool) -> bool:
        """Flag a message if its approval is as expected. Returns whether it was."""
        return await self.conversations.flag_where_approved_is(conversation_id, expected_approved)
