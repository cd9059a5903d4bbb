"""What can be done with a table whose rows have a moment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from stores.repositories.base import BaseRepository
from stores.repositories.rows import M, Where


class TimestampedRepository(BaseRepository[M]):
    """A table with a moment in each row, in the column `moment`."""

    moment: ClassVar[str] = "ts"

    async def get_latest(self, filters: Mapping[str, Any] | None = None) -> M | None:
        """The newest row that fits."""
        found = await self.newest(filters, limit=1)
        return found[0] if found else None

    async def newest(self, filters: Mapping[str, Any] | None = None, limit: int = 100) -> list[M]:
        """Rows that fit, newest first."""
        return await self.find(filters, limit=limit, order_by=self.moment, desc=True)

    async def newest_since(
        self, since: datetime | None, filters: Mapping[str, Any] | None = None, limit: int = 100
    ) -> list[M]:
        """Rows that fit from a moment on (or ever, for None), newest first."""
        where = Where(self.model).equal(filters)
        if since is not None:
            where.compare(self.moment, ">=", since)
        return await self.select(where, limit, order_by=self.moment, desc=True)

    async def find_in_range(
        self,
        start: datetime,
        end: datetime,
        timestamp_field: str | None = None,
        filters: Mapping[str, Any] | None = None,
        limit: int = 1000,
        desc: bool = True,
    ) -> list[M]:
        """Rows from `start` to `end`, both included; newest first unless told otherwise."""
        name = timestamp_field or self.moment
        where = Where(self.model).equal(filters).compare(name, ">=", start).compare(name, "<=", end)
        return await self.select(where, limit, order_by=name, desc=desc)

    async def delete_older_than(self, cutoff: datetime, timestamp_field: str | None = None) -> int:
        """Delete the rows from before the cutoff. Returns how many."""
        return await self.delete_where(Where(self.model).compare(timestamp_field or self.moment, "<", cutoff))
