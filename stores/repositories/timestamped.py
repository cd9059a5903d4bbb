"""What can be done with a table whose rows have a moment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import delete

from stores.moments import as_utc
from stores.repositories.base import BaseRepository, M


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
        column = self._column(name)
        between = self._filtered(filters).where(column >= as_utc(start), column <= as_utc(end))
        return await self.rows(self._ordered(between, name, desc).limit(limit))

    async def delete_older_than(self, cutoff: datetime, timestamp_field: str | None = None) -> int:
        """Delete the rows from before the cutoff. Returns how many."""
        column = self._column(timestamp_field or self.moment)
        return await self.run(delete(self.model).where(column < as_utc(cutoff)))
