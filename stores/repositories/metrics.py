"""Measurements, and what is kept of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from stores.models import MetricAggregation, MetricDataPoint
from stores.repositories.timestamped import TimestampedRepository

PERIODS = ("minute", "hour", "day", "week", "month")


class MetricDataPointRepository(TimestampedRepository[MetricDataPoint]):
    """Measurements."""

    model = MetricDataPoint

    async def record_metric(
        self,
        metric_name: str,
        value: float,
        unit: str | None = None,
        tags: dict[str, str] | None = None,
        timestamp: datetime | None = None,
    ) -> MetricDataPoint:
        """Write a measurement."""
        return await self.create(metric_name=metric_name, value=value, unit=unit, tags=tags, ts=timestamp)

    async def record_many(self, points: Sequence[Mapping[str, Any]]) -> int:
        """Write measurements that all have the same fields. Returns how many."""
        return await self.create_many(points)

    async def get_metric_values(
        self, metric_name: str, start: datetime, end: datetime, limit: int = 100_000
    ) -> list[MetricDataPoint]:
        """A metric's measurements from `start` to `end`, oldest first."""
        return await self.find_in_range(start, end, filters={"metric_name": metric_name}, limit=limit, desc=False)

    async def get_metric_stats(self, metric_name: str, start: datetime, end: datetime) -> dict[str, float]:
        """`min`, `max`, `avg`, `sum` and `count` of the measurements in a time; zeros where there are none."""
        rows = await self.values("metrics.statistics", metric_name=metric_name, start=start, end=end)
        return {name: value if value is not None else 0 for name, value in rows[0].items()}

    async def roll_up(self, before: datetime, period: str = "hour") -> tuple[int, int]:
        """Turn points from before a moment into aggregations. Returns points gone, and aggregations touched."""
        return await _roll_up(self, "metrics.roll_up_points", before, period)


class MetricAggregationRepository(TimestampedRepository[MetricAggregation]):
    """What is kept of old measurements."""

    model = MetricAggregation
    moment = "period_start"

    async def roll_up(self, before: datetime, from_period: str = "hour", period: str = "day") -> tuple[int, int]:
        """Turn aggregations of a short period into longer ones. Returns rows gone, and rows touched."""
        if from_period == "week" or PERIODS.index(from_period) >= PERIODS.index(period):
            raise ValueError(f"{from_period} does not fit into {period}")
        return await _roll_up(self, "metrics.roll_up_aggregations", before, period, from_period=from_period)


async def _roll_up(
    repository: TimestampedRepository[Any], name: str, before: datetime, period: str, **more: str
) -> tuple[int, int]:
    if period not in PERIODS:
        raise ValueError(f"a period is one of {', '.join(PERIODS)}, not {period}")
    row = (await repository.values(name, before=before, period=period, **more))[0]
    return row["gone"], row["rolled"]
