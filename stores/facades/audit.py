"""The audit trail and the audit queue, once `audit_queue.db`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from stores.engine import Database
from stores.facades.base import warn_of_db_path
from stores.models import AuditQueueItem
from stores.moments import utc_now
from stores.repositories.audit import EntryRepository, QueueRepository

REVIEW = "memory_review"
"""The action of items that wait for a person's judgement of a memory."""


class AuditEntryRepository(EntryRepository):
    """Who did what."""

    def __init__(self, db_path: str | Path | None = None, *, db: Database | None = None) -> None:
        if db_path is not None:
            warn_of_db_path(type(self).__name__)
        super().__init__(db)

    async def get_recent_actions(self, limit: int = 100) -> list[Any]:
        """Actions, newest first."""
        return await self.newest(limit=limit)

    async def cleanup(self, days: int = 365) -> int:
        """Delete actions older than that. Returns how many."""
        return await self.delete_older_than(utc_now() - timedelta(days=days))


class AuditQueueRepository(QueueRepository):
    """What has to be looked at, by workers or by people."""

    def __init__(self, db_path: str | Path | None = None, *, db: Database | None = None) -> None:
        if db_path is not None:
            warn_of_db_path(type(self).__name__)
        super().__init__(db)

    async def process_next(self, processor: Callable[[str, Any], Awaitable[object]]) -> bool:
        """Take the next item and process it. Returns whether one was processed; a failure puts it back in the queue."""
        taken = await self.claim(limit=1)
        if not taken:
            return False
        item = taken[0]
        try:
            await processor(item.action, item.payload)
        except Exception as error:  # whatever a processor raises is the item's failure, not the worker's
            words = f"{type(error).__name__}: {error}".replace("\0", "\u2400")
            await self.mark_failed(item.id, words.encode(errors="replace").decode())
            return False
        return await self.mark_completed(item.id) is not None

    async def get_queue_length(self) -> int:
        """How many items wait."""
        return await self.count({"status": "pending"})

    async def cleanup_processed_audits(self, days: int = 7) -> int:
        """Delete items that ended longer ago than that. Returns how many."""
        return await self.delete_finished(utc_now() - timedelta(days=days))

    async def add_audit_record(self, memory: dict[str, Any]) -> AuditQueueItem:
        """Put a memory up for review; `memory` has `memory_id`, and what the reviewer should see."""
        return await self.enqueue(REVIEW, memory)

    async def get_pending_audits(self, limit: int = 50) -> list[AuditQueueItem]:
        """What waits, without taking it."""
        return await self.get_pending(limit)

    async def update_audit_status(self, memory_id: str, status: str) -> bool:
        """`approved`, `rejected`, or `pending` for another review. Returns whether the memory was up for review."""
        if status not in ("pending", "approved", "rejected"):
            raise ValueError(f"a review ends approved or rejected, not {status}")
        item = await self.of_memory(memory_id)
        if item is None:
            return False
        ended = None if status == "pending" else utc_now()
        return await self.update(item.id, status=status, completed_at=ended) is not None

    async def is_memory_approved(self, memory_id: str) -> bool:
        """Whether a memory was approved."""
        item = await self.of_memory(memory_id)
        return item is not None and item.status == "approved"

    async def delete_audit_record(self, memory_id: str) -> bool:
        """Take a memory out of the queue. Returns whether it was there."""
        item = await self.of_memory(memory_id)
        return item is not None and await self.delete(item.id)

    async def get_audit_metrics(self) -> dict[str, int]:
        """How many items are in each state, and `total`."""
        counts = await self.counts()
        return {**counts, "total": sum(counts.values())}
