"""How far a load has come, told by the target alone and so alike for every contender: the size of its largest table."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

import psycopg

SAMPLE_SECONDS = 0.25
LARGEST = """
SELECT coalesce(max(pg_relation_size(c.oid)), 0) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""
Point = tuple[float, int]
"""Seconds since the start, bytes."""


class Growth:
    """Watches while the `with` block runs; `points` are what it saw."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.points: list[Point] = []
        self._connection = connect(env)
        self._connection.autocommit = True
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Growth:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._connection.close()

    def _watch(self) -> None:
        began = time.monotonic()
        while not self._ended.wait(SAMPLE_SECONDS):
            try:
                row = self._connection.execute(LARGEST).fetchone()
            except psycopg.errors.UndefinedTable:  # dropped between the catalog's answer and the look at its file
                continue
            assert row is not None
            self.points.append((round(time.monotonic() - began, 3), int(row[0] or 0)))


def connect(env: Mapping[str, str]) -> psycopg.Connection:
    """A connection to the target that TARGET_POSTGRES_* names."""
    return psycopg.connect(
        host=env["TARGET_POSTGRES_HOST"],
        port=env["TARGET_POSTGRES_PORT"],
        user=env["TARGET_POSTGRES_USER"],
        password=env["TARGET_POSTGRES_PASSWORD"],
        dbname=env["TARGET_POSTGRES_DATABASE"],
    )


def middle_rate(points: Sequence[Point], rows: int) -> float | None:
    """Rows a second while the table grew from a quarter of its last size to three quarters; None when unseen.

    The first sample past each mark is taken with the bytes it saw, so that a coarse step does not bend the rate.
    """
    whole = max((size for _, size in points), default=0)
    marks = [next((p for p in points if p[1] >= whole * share), None) for share in (0.25, 0.75)]
    low, high = marks
    if whole == 0 or low is None or high is None or high[0] <= low[0]:
        return None
    return rows * (high[1] - low[1]) / whole / (high[0] - low[0])
