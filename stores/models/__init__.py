"""The 17 models, by schema."""

from stores.models.analytics import SessionHistory, UserProfile
from stores.models.audit import AuditEntry, AuditQueueItem
from stores.models.base import SCHEMAS, Json, Model
from stores.models.context import ContextContent, Conversation
from stores.models.learning import ActiveLearningCandidate, Feedback, LearningThreshold
from stores.models.metrics import MetricAggregation, MetricDataPoint
from stores.models.tws import TWSEvent, TWSJobStatus, TWSPattern, TWSProblemSolution, TWSSnapshot, TWSWorkstationStatus

__all__ = [
    "SCHEMAS",
    "ActiveLearningCandidate",
    "AuditEntry",
    "AuditQueueItem",
    "ContextContent",
    "Conversation",
    "Feedback",
    "Json",
    "LearningThreshold",
    "MetricAggregation",
    "MetricDataPoint",
    "Model",
    "SessionHistory",
    "TWSEvent",
    "TWSJobStatus",
    "TWSPattern",
    "TWSProblemSolution",
    "TWSSnapshot",
    "TWSWorkstationStatus",
    "UserProfile",
]
