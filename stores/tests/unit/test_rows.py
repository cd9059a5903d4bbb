"""Conditions, before a database sees them."""

from __future__ import annotations

from datetime import datetime, timezone

from stores.models import TWSEvent
from stores.repositories.rows import Where


def test_moments_in_a_list_are_in_utc_as_others_are() -> None:
    at = datetime(2026, 7, 1, 12)
    found = Where(TWSEvent).equal({"ts": at, "acknowledged_at": [at]})
    assert found.arguments == [at.replace(tzinfo=timezone.utc), [at.replace(tzinfo=timezone.utc)]]


def test_none_is_found_among_values_too() -> None:
    found = Where(TWSEvent).equal({"severity": ["error", None], "job_name": {"a"}})
    assert found.sql == " WHERE (severity = ANY ($1) OR severity IS NULL) AND job_name = ANY ($2)"
    assert found.arguments == [["error"], ["a"]]
