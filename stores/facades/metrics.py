"""MetricsStore: measurements and what is kept of them, once `metrics.db`."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from stores.engine import Database
from stores.facades.base import Facade
from stores.models import MetricAggregation, MetricDataPoint
from stores.moments import utc_now
from stores.repositories.metrics import MetricAggregationRepository, MetricDataPointRepository


class MetricsStore(Facade):
    """Measurements: as they are while they are new, by the hour and then by the day when they are old."""

    def __init__(self, db_path: str | Path | None = None, *, db: Database | None = None) -> None:
        super().__init__(db_path, db=db)
        self.data_points = MetricDataPointRepository(db)
        self.aggregations = MetricAggregationRepository(db)

    async def record(
        self,
        metric_name: str,
        value: float,
        unit: str | None = None,
        tags: dict[str, str] | None = None,
        timestamp: datetime | None = None,
    ) -> MetricDataPoint:
        """Write a measurement."""
        return await self.data_points.record_metric(metric_name, value, unit, tags, timestamp)

    async def record_metric(self, metric_name: str, value: float, **more: Any) -> MetricDataPoint:
        """The same."""
        return await self.record(metric_name, value, **more)

    async def record_latency(self, operation: str, latency_ms: float) -> MetricDataPoint:
        """How long an operation took."""
        return await self.record(f"latency.{operation}", latency_ms, unit="ms")

    async def record_count(self, counter_name: str, count: int = 1) -> MetricDataPoint:
        """How many there were."""
        return await self.record(f"count.{counter_name}", float(count), unit="count")

    async def record_gauge(self, gauge_name: str, value: float) -> MetricDataPoint:
        """Where a gauge stands."""
        return await self.record(f"gauge.{gauge_name}", value)

    async def query(self, metric_name: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
        """A metric's measurements from `start` to `end`, oldest first."""
        points = await self.data_points.get_metric_values(metric_name, start, end)
        return [{"timestamp": point.ts.isoformat(), "value": point.value, "tags": point.tags} for point in points]

    async def get_metric_values(self, metric_name: str, hours: int = 24) -> list[dict[str, Any]]:
        """A metric's measurements of the last hours, oldest first."""
        return await self.query(metric_name, utc_now() - timedelta(hours=hours), utc_now())

    async def get_stats(self, metric_name: str, hours: int = 24) -> dict[str, float]:
        """`min`, `max`, `avg`, `sum` and `count` of the last hours."""
        return await self.data_points.get_metric_stats(metric_name, utc_now() - timedelta(hours=hours), utc_now())

    async def get_aggregations(
        self, metric_name: str, period: str, start: datetime, end: datetime
    ) -> list[MetricAggregation]:
        """What is kept of a metric by `minute`, `hour`, `day`, `week` or `month`, oldest first."""
        wanted = {"metric_name": metric_name, "aggregation_type": period}
        return await self.aggregations.find_in_range(start, end, filters=wanted, limit=100_000, desc=False)

    async def cleanup(self, days: int = 30, hourly_days: int = 365) -> int:
        """Roll old points up by the hour, and old hours by the day. Returns how many points are gone.

        Nothing is forgotten, it only gets coarser; both steps end at whole periods.
        """
        gone, _ = await self.data_points.roll_up(utc_now() - timedelta(days=days), "hour")
        await self.aggregations.roll_up(utc_now() - timedelta(days=hourly_days), "hour", "day")
        return gone
