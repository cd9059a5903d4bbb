"""The audit trail and its queue."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from stores.models import AuditEntry, AuditQueueItem
from stores.moments import utc_now
from stores.repositories.base import BaseRepository
from stores.repositories.rows import Where
from stores.repositories.timestamped import TimestampedRepository


class EntryRepository(TimestampedRepository[AuditEntry]):
    """Actions."""

    model = AuditEntry

    async def log_action(
        self,
        action: str,
        user_id: str | None = None,
        entity_type: str | None = None,
        entity_id: str | None = None,
        old_value: dict[str, Any] | None = None,
        new_value: dict[str, Any] | None = None,
        ip_address: str | None = None,
        user_agent: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> AuditEntry:
        """Write an action."""
        return await self.create(
            action=action,
            user_id=user_id,
            entity_type=entity_type,
            entity_id=entity_id,
            old_value=old_value,
            new_value=new_value,
            ip_address=ip_address,
            user_agent=user_agent,
            meta=metadata,
        )

    async def get_user_actions(self, user_id: str, limit: int = 100) -> list[AuditEntry]:
        """A user's actions, newest first."""
        return await self.newest({"user_id": user_id}, limit)

    async def get_entity_history(self, entity_type: str, entity_id: str, limit: int = 100) -> list[AuditEntry]:
        """What was done to an entity, newest first."""
        return await self.newest({"entity_type": entity_type, "entity_id": entity_id}, limit)


class QueueRepository(BaseRepository[AuditQueueItem]):
    """Work that waits, for any number of workers at once."""

    model = AuditQueueItem

    async def enqueue(
        self, action: str, payload: dict[str, Any], priority: int = 0, max_retries: int = 3
    ) -> AuditQueueItem:
        """Add an item."""
        return await self.create(action=action, payload=payload, priority=priority, max_retries=max_retries)

    async def claim(self, limit: int = 1, action: str | None = None) -> list[AuditQueueItem]:
        """Take waiting items, the most urgent and then the oldest first; no other worker gets them."""
        return await self.named("queue.claim", limit=limit, action=action)

    async def get_pending(self, limit: int = 10) -> list[AuditQueueItem]:
        """Look at what waits, without taking it."""
        return await self.named("queue.waiting", limit=limit)

    async def mark_processing(self, item_id: int) -> AuditQueueItem | None:
        """Take one named item; None where it does not wait (any more)."""
        return await self._move(item_id, ("pending",), status="processing", processed_at=utc_now())

    async def mark_completed(self, item_id: int) -> AuditQueueItem | None:
        """An item is done; None where it was not under way."""
        return await self._move(item_id, ("processing", "pending"), status="completed", completed_at=utc_now())

    async def mark_failed(self, item_id: int, error_message: str) -> AuditQueueItem | None:
        """A try failed: the item waits again, or is given up after `max_retries`."""
        rows = await self.named("queue.fail", id=item_id, error_message=error_message)
        return rows[0] if rows else None

    async def release_abandoned(self, older_than: timedelta) -> int:
        """Give items back whose worker took them that long ago and never came back. Returns how many."""
        return len(await self.named("queue.release", before=utc_now() - older_than))

    async def delete_finished(self, before: datetime) -> int:
        """Delete items that ended before a moment. Returns how many."""
        return int((await self.values("queue.delete_finished", before=before))[0]["gone"])

    async def of_memory(self, memory_id: str) -> AuditQueueItem | None:
        """The newest item about a memory."""
        rows = await self.named("queue.of_memory", memory_id=memory_id)
        return rows[0] if rows else None

    async def counts(self) -> dict[str, int]:
        """How many items are in each state."""
        return {row["status"]: row["count"] for row in await self.values("queue.counts")}

    async def _move(self, item_id: int, allowed: tuple[str, ...], **values: Any) -> AuditQueueItem | None:
        return await self.update_where(Where(self.model).equal({"id": item_id, "status": allowed}), **values)
