"""Users and their sessions."""

from __future__ import annotations

from typing import Any

from stores.models import SessionHistory, UserProfile
from stores.repositories.base import BaseRepository
from stores.repositories.timestamped import TimestampedRepository


class UserProfileRepository(BaseRepository[UserProfile]):
    """Users."""

    model = UserProfile

    async def get_or_create(self, user_id: str) -> UserProfile:
        """The user's profile, made if there is none."""
        found = await self.named("analytics.profile", user_id=user_id)
        if not found:  # another caller made it between this statement's snapshot and its insert: now it is visible
            found = await self.named("analytics.profile", user_id=user_id)
        return found[0]

    async def update_activity(
        self, user_id: str, increment_sessions: bool = False, increment_queries: bool = False
    ) -> UserProfile:
        """The user did something now."""
        found = await self.named(
            "analytics.activity", user_id=user_id, sessions=int(increment_sessions), queries=int(increment_queries)
        )
        return found[0]

    async def update_preferences(self, user_id: str, preferences: dict[str, Any]) -> UserProfile:
        """Lay preferences over those that are there."""
        found = await self.named("analytics.preferences", user_id=user_id, preferences=preferences)
        return found[0]


class SessionHistoryRepository(TimestampedRepository[SessionHistory]):
    """Sessions."""

    model = SessionHistory
    moment = "started_at"

    async def start_session(
        self, session_id: str, user_id: str, metadata: dict[str, Any] | None = None
    ) -> SessionHistory:
        """Begin a session, and the user's profile where there is none. Raises IntegrityError for a known session."""
        found = await self.named("analytics.start_session", session_id=session_id, user_id=user_id, meta=metadata or {})
        return found[0]

    async def end_session(self, session_id: str) -> SessionHistory | None:
        """End a session; None where there is none of that name under way."""
        found = await self.named("analytics.end_session", session_id=session_id)
        return found[0] if found else None

    async def increment_queries(self, session_id: str) -> SessionHistory | None:
        """Count a query, for the session and its user."""
        found = await self.named("analytics.count_query", session_id=session_id)
        return found[0] if found else None
