"""Operational stores in PostgreSQL: models, repositories, and the classes an application talks to.

await initialize_database()
store = TWSStore()
await store.update_job_status(JobStatus(job_name="PAYROLL", status="SUCC"))
"""

from stores.engine import Database, close_database, database
from stores.facades.audit import AuditEntryRepository, AuditQueueRepository
from stores.facades.context import ContextStore
from stores.facades.feedback import ActiveLearning, FeedbackStore, LearningThresholds
from stores.facades.metrics import MetricsStore
from stores.facades.tws import JobStatus, PatternMatch, TWSStore
from stores.facades.user_behavior import UserBehaviorStore
from stores.settings import DatabaseSettings
from stores.tables import initialize_database

__all__ = [
    "ActiveLearning",
    "AuditEntryRepository",
    "AuditQueueRepository",
    "ContextStore",
    "Database",
    "DatabaseSettings",
    "FeedbackStore",
    "JobStatus",
    "LearningThresholds",
    "MetricsStore",
    "PatternMatch",
    "TWSStore",
    "UserBehaviorStore",
    "close_database",
    "database",
    "initialize_database",
]
