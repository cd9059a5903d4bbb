"""Schema `metrics`: measurements, and what is kept of them once they are old."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Double, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, synonym

from stores.models.base import Json, Model, now


class MetricDataPoint(Model):
    """One measurement."""

    __tablename__ = "metric_data_points"
    __table_args__ = (Index(None, "metric_name", "ts"), Index(None, "ts"), {"schema": "metrics"})

    metric_name: Mapped[str]
    value: Mapped[float] = mapped_column(Double)
    unit: Mapped[str | None]
    tags: Mapped[Json | None]
    ts: Mapped[now]
    timestamp = synonym("ts")


class MetricAggregation(Model):
    """The measurements of one period, `aggregation_type` long: `minute`, `hour`, `day`, `week`, `month`."""

    __tablename__ = "metric_aggregations"
    __table_args__ = (
        UniqueConstraint("metric_name", "aggregation_type", "period_start"),
        Index(None, "aggregation_type", "period_start"),
        {"schema": "metrics"},
    )

    metric_name: Mapped[str]
    aggregation_type: Mapped[str]
    period_start: Mapped[datetime]
    period_end: Mapped[datetime]
    min_value: Mapped[float | None] = mapped_column(Double)
    max_value: Mapped[float | None] = mapped_column(Double)
    avg_value: Mapped[float | None] = mapped_column(Double)
    sum_value: Mapped[float | None] = mapped_column(Double)
    count: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[now]
