"""Time in UTC everywhere: what goes in and out of a timestamp column."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import DateTime
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


def utc_now() -> datetime:
    """Now, aware."""
    return datetime.now(tz=timezone.utc)


def as_utc(moment: datetime) -> datetime:
    """The moment in UTC. One without a zone is UTC already: the old classes wrote `datetime.utcnow()`."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc)


class UtcTimestamp(TypeDecorator[datetime]):
    """`timestamp with time zone`; Python only ever sees aware UTC values."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Into the database."""
        return None if value is None else as_utc(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Out of it."""
        return None if value is None else as_utc(value)
