"""Feedback, thresholds, and candidates for review."""

from __future__ import annotations

from typing import Any

from stores.models import ActiveLearningCandidate, Feedback, LearningThreshold
from stores.moments import utc_now
from stores.repositories.base import BaseRepository
from stores.repositories.rows import Where
from stores.repositories.timestamped import TimestampedRepository


class FeedbackRepository(TimestampedRepository[Feedback]):
    """Judgements."""

    model = Feedback
    moment = "created_at"

    async def add_feedback(
        self,
        session_id: str | None = None,
        rating: int | None = None,
        feedback_type: str = "general",
        feedback_text: str | None = None,
        query_text: str | None = None,
        response_text: str | None = None,
        is_positive: bool | None = None,
        metadata: dict[str, Any] | None = None,
        query_id: str | None = None,
    ) -> Feedback:
        """Write a judgement."""
        return await self.create(
            session_id=session_id,
            rating=rating,
            feedback_type=feedback_type,
            feedback_text=feedback_text,
            query_text=query_text,
            response_text=response_text,
            is_positive=is_positive,
            meta=metadata,
            query_id=query_id,
        )

    async def get_positive_examples(self, limit: int = 100) -> list[Feedback]:
        """Judgements for the answer, newest first."""
        return await self.named("learning.liked", limit=limit)

    async def get_negative_examples(self, limit: int = 100) -> list[Feedback]:
        """Judgements against the answer, newest first."""
        return await self.named("learning.disliked", limit=limit)

    async def share(self, window: int = 100) -> tuple[int, int]:
        """How many of the newest judgements were for and against."""
        row = (await self.values("learning.feedback_share", window=window))[0]
        return row["positive"], row["negative"]


class LearningThresholdRepository(BaseRepository[LearningThreshold]):
    """Tuned values."""

    model = LearningThreshold

    async def get_threshold(self, name: str) -> float | None:
        """A threshold's value."""
        found = await self.find_one({"threshold_name": name})
        return found.current_value if found else None

    async def set_threshold(
        self, name: str, value: float, min_value: float = 0.0, max_value: float = 1.0, reason: str | None = None
    ) -> LearningThreshold:
        """Set a threshold, or make it; the bounds count only when it is made."""
        found = await self.named(
            "learning.set_threshold", name=name, value=value, min_value=min_value, max_value=max_value, reason=reason
        )
        return found[0]

    async def adjust(self, name: str, by: float, reason: str | None = None) -> LearningThreshold:
        """Move a threshold within its bounds, from 0.5 where there is none yet."""
        found = await self.named("learning.adjust_threshold", name=name, by=by, reason=reason)
        return found[0]


class ActiveLearningRepository(TimestampedRepository[ActiveLearningCandidate]):
    """Answers to look at."""

    model = ActiveLearningCandidate
    moment = "created_at"

    async def add_candidate(
        self,
        query_text: str,
        uncertainty_score: float,
        response_text: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> ActiveLearningCandidate:
        """Add an answer for review."""
        return await self.create(
            query_text=query_text, uncertainty_score=uncertainty_score, response_text=response_text, meta=metadata
        )

    async def get_top_candidates(self, limit: int = 10) -> list[ActiveLearningCandidate]:
        """Answers that wait, the most uncertain first."""
        return await self.named("learning.most_uncertain", limit=limit)

    async def review_candidate(
        self, candidate_id: int, selected_label: str, reviewer_id: str
    ) -> ActiveLearningCandidate | None:
        """Write a review down; None where the answer is not there or was reviewed before."""
        return await self.update_where(
            Where(self.model).equal({"id": candidate_id, "status": "pending"}),
            status="reviewed",
            selected_label=selected_label,
            reviewer_id=reviewer_id,
            reviewed_at=utc_now(),
        )
