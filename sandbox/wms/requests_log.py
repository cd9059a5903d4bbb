"""What the stand-in's request log shows of its clients: how many requests, how fast, how many at once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def read(path: Path) -> list[dict[str, Any]]:
    """Every line of the log, by time of arrival."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    return sorted(lines, key=lambda line: float(line["at"]))


def summary(lines: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Requests in all, by status, most in any one second, most in flight at once, and over how many seconds."""
    found = [line for line in lines if "/entity/" in line["path"]]
    times = [float(line["at"]) for line in found]
    by_status: dict[str, int] = {}
    for line in found:
        by_status[str(line["status"])] = by_status.get(str(line["status"]), 0) + 1
    return {
        "requests": len(found),
        "by_status": by_status,
        "most_in_a_second": most_within(times, 1.0),
        "most_in_flight": max((int(line["in_flight"]) for line in found), default=0),
        "seconds": round(times[-1] - times[0], 2) if times else 0.0,
    }


def most_within(times: list[float], seconds: float) -> int:
    """The most arrivals in any window of that length."""
    most, first = 0, 0
    for last, moment in enumerate(times):
        while moment - times[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
