"""FeedbackStore, LearningThresholds and ActiveLearning: once `feedback_store.db`, `threshold_tuning.db`, and both
layouts of `active_learning.db`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stores.engine import Database
from stores.facades.base import Facade
from stores.models import ActiveLearningCandidate, Feedback, LearningThreshold
from stores.repositories.learning import ActiveLearningRepository, FeedbackRepository, LearningThresholdRepository


class FeedbackStore(Facade):
    """What users thought of the answers, and what the assistant makes of it."""

    def __init__(self, db_path: str | Path | None = None, *, db: Database | None = None) -> None:
        super().__init__(db_path, db=db)
        self.feedback = FeedbackRepository(db)
        self.thresholds = LearningThresholdRepository(db)
        self.active_learning = ActiveLearningRepository(db)

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
        """Write a judgement of an answer."""
        return await self.feedback.add_feedback(
            session_id, rating, feedback_type, feedback_text, query_text, response_text, is_positive, metadata, query_id
        )

    async def get_positive_examples(self, limit: int = 100) -> list[Feedback]:
        """Judgements for the answer, newest first."""
        return await self.feedback.get_positive_examples(limit)

    async def get_negative_examples(self, limit: int = 100) -> list[Feedback]:
        """Judgements against the answer, newest first."""
        return await self.feedback.get_negative_examples(limit)

    async def get_feedback_stats(self, window: int = 1000) -> dict[str, float]:
        """Of the newest judgements: `positive`, `negative`, and the `positive_rate` among both."""
        positive, negative = await self.feedback.share(window)
        total = positive + negative
        return {"positive": positive, "negative": negative, "positive_rate": positive / total if total else 0.0}


class LearningThresholds(Facade):
    """Values that are tuned over time."""

    def __init__(self, db_path: str | Path | None = None, *, db: Database | None = None) -> None:
        super().__init__(db_path, db=db)
        self.thresholds = LearningThresholdRepository(db)
        self.feedback = FeedbackRepository(db)

    async def get_threshold(self, name: str, default: float = 0.5) -> float:
        """A threshold's value, or the default where there is none."""
        value = await self.thresholds.get_threshold(name)
        return default if value is None else value

    async def set_threshold(
        self, name: str, value: float, min_value: float = 0.0, max_value: float = 1.0
    ) -> LearningThreshold:
        """Set a threshold, or make it."""
        return await self.thresholds.set_threshold(name, value, min_value, max_value)

    async def adjust_threshold(self, name: str, adjustment: float, reason: str | None = None) -> float:
        """Move a threshold within its bounds, from 0.5 where there is none yet. Returns its new value."""
        return (await self.thresholds.adjust(name, adjustment, reason)).current_value

    async def get_all_thresholds(self) -> dict[str, float]:
        """Every threshold's value by name."""
        return {found.threshold_name: found.current_value for found in await self.thresholds.get_all(limit=10_000)}

    async def auto_tune(self, feedback_window: int = 100) -> dict[str, Any]:
        """Ask for more confidence when most answers are disliked, for less when nearly all are liked."""
        positive, negative = await self.feedback.share(feedback_window)
        total = positive + negative
        if total == 0:
            return {"adjusted": False, "reason": "No feedback data"}
        rate = positive / total
        by = 0.05 if rate < 0.5 else -0.02 if rate > 0.8 else 0.0
        if by:
            await self.adjust_threshold("confidence", by, reason=f"positive rate {rate:.2f} of {total}")
        return {"adjusted": bool(by), "positive_rate": rate, "total_feedback": total}


class ActiveLearning(Facade):
    """Answers the assistant was unsure of, for people to look at."""

    def __init__(self, db_path: str | Path | None = None, *, db: Database | None = None) -> None:
        super().__init__(db_path, db=db)
        self.candidates = ActiveLearningRepository(db)

    async def add_candidate(
        self,
        query_text: str,
        uncertainty_score: float,
        response_text: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> ActiveLearningCandidate:
        """Put an answer up for review."""
        return await self.candidates.add_candidate(query_text, uncertainty_score, response_text, metadata)

    async def get_top_candidates(self, limit: int = 10) -> list[ActiveLearningCandidate]:
        """Answers that wait, the most uncertain first."""
        return await self.candidates.get_top_candidates(limit)

    async def review_candidate(
        self, candidate_id: int, selected_label: str, reviewer_id: str
    ) -> ActiveLearningCandidate | None:
        """Write a review down; None where the answer is not there or was reviewed before."""
        return await self.candidates.review_candidate(candidate_id, selected_label, reviewer_id)

    async def get_reviewed_candidates(self, limit: int = 100) -> list[ActiveLearningCandidate]:
        """Reviewed answers, the last reviewed first."""
        return await self.candidates.find({"status": "reviewed"}, limit=limit, order_by="reviewed_at", desc=True)

    @staticmethod
    def should_request_label(uncertainty_score: float, threshold: float = 0.7) -> bool:
        """Whether an answer is uncertain enough to be looked at."""
        return uncertainty_score >= threshold
