"""`db_path` is accepted, ignored, and warned about once for each class."""

from __future__ import annotations

import logging

import pytest

import stores
from stores.facades import base

FACADES = [
    stores.TWSStore,
    stores.ContextStore,
    stores.AuditEntryRepository,
    stores.AuditQueueRepository,
    stores.UserBehaviorStore,
    stores.FeedbackStore,
    stores.MetricsStore,
    stores.LearningThresholds,
    stores.ActiveLearning,
]


@pytest.mark.parametrize("facade", FACADES)
def test_warned_about_once(facade: type, caplog: pytest.LogCaptureFixture) -> None:
    base._warned.discard(facade.__name__)
    with caplog.at_level(logging.WARNING, "stores"):
        facade("old.db")
        facade(db_path="old.db")
        facade()
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [facade.__name__]
