"""UserBehaviorStore: users and their sessions, once `user_behavior.db`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from stores.engine import Database
from stores.facades.base import Facade
from stores.models import SessionHistory, UserProfile
from stores.moments import utc_now
from stores.repositories.analytics import SessionHistoryRepository, UserProfileRepository


class UserBehaviorStore(Facade):
    """Who uses the assistant, and how."""

    def __init__(self, db_path: str | Path | None = None, *, db: Database | None = None) -> None:
        super().__init__(db_path, db=db)
        self.profiles = UserProfileRepository(db)
        self.sessions = SessionHistoryRepository(db)

    async def get_user_profile(self, user_id: str) -> UserProfile:
        """A user's profile, made if there is none."""
        return await self.profiles.get_or_create(user_id)

    async def update_activity(
        self, user_id: str, increment_sessions: bool = False, increment_queries: bool = False
    ) -> UserProfile:
        """The user did something now."""
        return await self.profiles.update_activity(user_id, increment_sessions, increment_queries)

    async def update_preferences(self, user_id: str, preferences: dict[str, Any]) -> UserProfile:
        """Lay preferences over those that are there."""
        return await self.profiles.update_preferences(user_id, preferences)

    async def start_session(
        self, session_id: str, user_id: str, metadata: dict[str, Any] | None = None
    ) -> SessionHistory:
        """Begin a session."""
        return await self.sessions.start_session(session_id, user_id, metadata)

    async def end_session(self, session_id: str) -> SessionHistory | None:
        """End a session."""
        return await self.sessions.end_session(session_id)

    async def increment_queries(self, session_id: str) -> SessionHistory | None:
        """Count a query."""
        return await self.sessions.increment_queries(session_id)

    async def get_session_history(self, user_id: str, limit: int = 100) -> list[SessionHistory]:
        """A user's sessions, newest first."""
        return await self.sessions.newest({"user_id": user_id}, limit)

    async def cleanup(self, days: int = 90) -> int:
        """Delete sessions that began longer ago than that. Returns how many."""
        return await self.sessions.delete_older_than(utc_now() - timedelta(days=days))
