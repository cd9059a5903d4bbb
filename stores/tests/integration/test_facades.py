"""The old classes' public methods, against PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from stores import (
    ActiveLearning,
    AuditEntryRepository,
    AuditQueueRepository,
    ContextStore,
    FeedbackStore,
    JobStatus,
    LearningThresholds,
    MetricsStore,
    PatternMatch,
    TWSStore,
    UserBehaviorStore,
)
from stores.moments import utc_now

HOUR = timedelta(hours=1)


def test_job_status_is_brought_up_to_date(run: Any) -> None:
    store = TWSStore(db=run.db)
    first = run(store.update_job_status(JobStatus("PAY", "EXEC", workstation="WS1", metadata={"a": [1]})))
    again = run(store.update_job_status(JobStatus("PAY", "SUCC", return_code=0)))
    other = run(store.update_job_status(JobStatus("PAY", "ABEND", run_number=2)))
    assert first.id == again.id != other.id
    assert (again.status, again.workstation, again.return_code) == ("SUCC", "WS1", 0)
    assert first.metadata_ == {"a": [1]}
    assert [row.id for row in run(store.get_job_history("PAY"))] == [other.id, again.id]
    latest = run(store.get_job_status("PAY"))
    assert latest is not None
    assert latest.status == "ABEND"
    assert run(store.get_status_summary()) == {"SUCC": 1, "ABEND": 1}
    assert [row.status for row in run(store.get_failed_jobs())] == ["ABEND"]
    assert [row.id for row in run(store.get_jobs_by_workstation("WS1"))] == [first.id]


def test_many_writers_of_one_run_make_one_row(run: Any) -> None:
    store = TWSStore(db=run.db)

    async def all_at_once() -> None:
        await asyncio.gather(*(store.update_job_status(JobStatus("PAY", f"S{i}")) for i in range(20)))
        await asyncio.gather(*(store.detect_pattern(PatternMatch("late", None, "d", 0.6)) for _ in range(20)))

    run(all_at_once())
    assert run(store.jobs.count()) == 1
    assert [found.occurrences for found in run(store.get_patterns())] == [20]


def test_time_is_utc_whatever_comes_in(run: Any) -> None:
    store = TWSStore(db=run.db)
    naive, east = datetime(2026, 1, 2, 3, 4, 5), datetime(2026, 1, 2, 3, tzinfo=timezone(3 * HOUR))
    row = run(store.update_job_status(JobStatus("A", "S", start_time=naive, end_time=east)))
    assert row.start_time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert row.end_time == datetime(2026, 1, 2, tzinfo=timezone.utc)
    assert row.timestamp.utcoffset() == timedelta(0)
    assert row.to_dict()["end_time"] == "2026-01-02T00:00:00+00:00"


def test_events(run: Any) -> None:
    store = TWSStore(db=run.db)
    event = run(store.log_event("job", "failed", severity="error", job_name="PAY", details={"rc": 8}))
    run(store.log_event("job", "ok"))
    assert len(run(store.get_unacknowledged_events())) == 2
    assert run(store.acknowledge_event(event.id, "ana")).acknowledged_by == "ana"
    assert [row.message for row in run(store.get_unacknowledged_events())] == ["ok"]
    assert [row.id for row in run(store.get_events(severity="error"))] == [event.id]
    assert len(run(store.get_events_in_range(utc_now() - HOUR, utc_now() + HOUR))) == 2
    assert run(store.acknowledge_event(-1, "ana")) is None


def test_patterns_and_solutions(run: Any) -> None:
    store = TWSStore(db=run.db)
    run(store.detect_pattern(PatternMatch("late", "PAY", "often late", 0.4)))
    grown = run(store.detect_pattern(PatternMatch("late", "PAY", "often late", 0.9, pattern_data={"x": 1})))
    assert (grown.occurrences, grown.confidence, grown.pattern_data) == (2, 0.9, {"x": 1})
    assert run(store.get_patterns("OTHER")) == []
    general = run(store.add_solution("disk", "disk full", "delete"))
    own = run(store.add_solution("disk", "disk full", "extend", job_name="PAY"))
    run(store.record_solution_outcome(general.id, success=True))
    run(store.record_solution_outcome(own.id, success=False))
    best = run(store.find_solution("disk", "PAY"))
    assert (best.id, best.success_count) == (general.id, 1)
    assert run(store.find_solution("none")) is None


def test_cleanup_keeps_what_is_new(run: Any) -> None:
    store = TWSStore(db=run.db)
    run(store.events.create(event_type="e", message="m", ts=utc_now() - timedelta(days=40)))
    run(store.log_event("e", "new"))
    assert run(store.cleanup_old_data(30))["events"] == 1
    assert [row.message for row in run(store.get_events())] == ["new"]


def test_conversations_are_found_by_word_and_by_substring(run: Any) -> None:
    store = ContextStore(db=run.db)
    user = run(store.add_conversation("s1", "user", "Por que o job PAGAMENTO_50% falhou?", user_id="ana"))
    run(store.add_conversation("s1", "assistant", "Disk full"))
    assert [row.role for row in run(store.get_session_history("s1"))] == ["user", "assistant"]
    assert [row.id for row in run(store.search_conversations("job falhou"))] == [user.id]
    assert [row.id for row in run(store.search_conversations("GAMENTO_50%"))] == [user.id]
    assert run(store.search_conversations("100%")) == []
    assert run(store.flag_memory(user.id))
    assert run(store.is_memory_flagged(user.id))
    assert run(store.approve_memory(user.id))
    assert not run(store.atomic_check_and_flag(user.id, expected_approved=False))
    assert run(store.atomic_check_and_flag(user.id, expected_approved=True))
    assert not run(store.is_memory_approved(user.id))
    assert run(store.delete_memory(user.id))
    assert not run(store.delete_memory(user.id))


def test_relevant_context(run: Any) -> None:
    store = ContextStore(db=run.db)
    run(store.add_conversation("s1", "user", "database timeout"))
    run(store.add_content("document", "what to do about a timeout", title="Runbook"))
    run(store.add_observations("s1", ["timeout at night", "nothing"]))
    run(store.add_solution_feedback("s1", "timeout", "raise the timeout", was_helpful=True))
    found = run(store.get_relevant_context("timeout"))
    assert sorted(row["type"] for row in found) == ["conversation", "document", "observation", "solution"]
    assert len(run(store.get_relevant_context("timeout", limit=2))) == 2


def test_audit_entries(run: Any) -> None:
    store = AuditEntryRepository(db=run.db)
    run(store.log_action("update", "ana", "job", "PAY", old_value={"a": 1}, new_value={"a": 2}))
    assert run(store.get_user_actions("ana"))[0].new_value == {"a": 2}
    assert len(run(store.get_entity_history("job", "PAY"))) == 1
    assert run(store.get_entity_history("job", "OTHER")) == []


def test_a_queue_of_memories_under_review(run: Any) -> None:
    queue = AuditQueueRepository(db=run.db)
    run(queue.add_audit_record({"memory_id": "m1", "user_query": "q"}))
    assert [item.payload["memory_id"] for item in run(queue.get_pending_audits())] == ["m1"]
    assert run(queue.update_audit_status("m1", "approved"))
    assert run(queue.is_memory_approved("m1"))
    assert not run(queue.update_audit_status("m2", "approved"))
    assert run(queue.get_audit_metrics()) == {"approved": 1, "total": 1}
    assert run(queue.delete_audit_record("m1"))
    with pytest.raises(ValueError, match="approved or rejected"):
        run(queue.update_audit_status("m1", "maybe"))


def test_users_and_sessions(run: Any) -> None:
    store = UserBehaviorStore(db=run.db)

    async def first_contacts() -> None:
        await asyncio.gather(*(store.get_user_profile("ana") for _ in range(10)))
        await asyncio.gather(*(store.update_activity("ana", increment_queries=True) for _ in range(10)))

    run(first_contacts())
    assert run(store.profiles.count()) == 1
    run(store.update_preferences("ana", {"theme": "dark", "lang": "pt"}))
    assert run(store.update_preferences("ana", {"theme": "light"})).preferences == {"theme": "light", "lang": "pt"}
    run(store.start_session("s1", "ana"))
    run(store.start_session("s2", "new user"))
    assert run(store.increment_queries("s1")).query_count == 1
    assert run(store.end_session("s1")).duration_seconds >= 0
    assert run(store.end_session("s1")) is None
    profile = run(store.get_user_profile("ana"))
    assert (profile.total_sessions, profile.total_queries) == (1, 11)
    assert [row.session_id for row in run(store.get_session_history("ana"))] == ["s1"]


def test_feedback_thresholds_and_candidates(run: Any) -> None:
    store, tuned, learning = FeedbackStore(db=run.db), LearningThresholds(db=run.db), ActiveLearning(db=run.db)
    for rating in (1, 2, 5):
        run(store.add_feedback("s", rating=rating, query_text="q"))
    assert [row.rating for row in run(store.get_negative_examples())] == [2, 1]
    assert run(store.get_feedback_stats())["positive"] == 1
    assert run(tuned.get_threshold("confidence")) == 0.5
    assert run(tuned.auto_tune())["adjusted"] is True
    assert run(tuned.get_all_thresholds()) == {"confidence": 0.55}
    assert run(tuned.adjust_threshold("confidence", 9)) == 1.0
    history = run(tuned.thresholds.find_one({"threshold_name": "confidence"})).adjustment_history
    assert [(change["old_value"], change["new_value"]) for change in history["changes"]] == [(0.55, 1.0)]
    for score in (0.2, 0.9):
        run(learning.add_candidate(f"q{score}", score))
    top = run(learning.get_top_candidates(1))[0]
    assert top.query_text == "q0.9"
    assert run(learning.review_candidate(top.id, "good", "ana")).selected_label == "good"
    assert run(learning.review_candidate(top.id, "bad", "eva")) is None
    assert [row.id for row in run(learning.get_reviewed_candidates())] == [top.id]


def test_metrics_roll_up_loses_nothing(run: Any) -> None:
    store = MetricsStore(db=run.db)
    old = (utc_now() - timedelta(days=40)).replace(minute=10, second=0, microsecond=0)
    run(store.data_points.record_many([{"metric_name": "m", "value": float(i), "ts": old} for i in range(10)]))
    run(store.record("m", 7.0, tags={"host": "a"}))
    assert run(store.get_stats("m"))["count"] == 1
    assert run(store.cleanup(30)) == 10
    assert run(store.cleanup(30)) == 0
    run(store.record("m", 100.0, timestamp=old + timedelta(minutes=20)))  # a late point of an hour rolled up before
    assert run(store.cleanup(30)) == 1
    hours = run(store.get_aggregations("m", "hour", old - HOUR, utc_now()))
    assert [(row.count, row.sum_value, row.min_value, row.max_value) for row in hours] == [(11, 145.0, 0.0, 100.0)]
    run(store.aggregations.roll_up(utc_now(), "hour", "day"))
    days = run(store.get_aggregations("m", "day", old - 48 * HOUR, utc_now()))
    assert [(row.count, row.sum_value) for row in days] == [(11, 145.0)]
    assert [row["value"] for row in run(store.get_metric_values("m"))] == [7.0]
    with pytest.raises(ValueError, match="does not fit"):
        run(store.aggregations.roll_up(utc_now(), "day", "hour"))


def test_columns_that_are_not_there_are_refused(run: Any) -> None:
    store = TWSStore(db=run.db)
    with pytest.raises(ValueError, match="no column"):
        run(store.jobs.find({"job_name; DROP TABLE tws.tws_events": 1}))
    rows = [{"content_type": "a", "content": "x"}, {"content_type": "a", "content": "y", "title": "t"}]
    with pytest.raises(ValueError, match="the same columns"):
        run(ContextStore(db=run.db).content.create_many(rows))
    with pytest.raises(ValueError, match="every row"):
        run(store.jobs.delete_many({}))


def test_a_session_for_whoever_wants_one(run: Any) -> None:
    from sqlalchemy import select

    from stores.models import TWSEvent

    async def through_sqlalchemy() -> list[str]:
        async with run.db.session() as session:
            session.add(TWSEvent(event_type="e", message="m", details={"a": 1}))
        async with run.db.session() as session:
            return [row.details["a"] for row in await session.scalars(select(TWSEvent))]

    assert run(through_sqlalchemy()) == [1]
