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
    Database,
    DatabaseSettings,
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
    assert run(store.jobs.get_failed_jobs(since=utc_now() + HOUR)) == []
    assert [row.id for row in run(store.jobs.get_failed_jobs(since=utc_now() - HOUR))] == [other.id]
    assert run(store.jobs.count({"workstation": None})) == 1
    assert run(store.jobs.count({"status": ["SUCC", "none"]})) == 1


def test_a_moved_job_status_is_not_overwritten_by_the_next_run(run: Any) -> None:
    store = TWSStore(db=run.db)
    old = {"legacy": {"job_id": "j1", "error_message": "disk full"}}
    moved = {"job_name": "J", "status": "ABEND", "meta": old}
    moments = [datetime(2025, 1, day, tzinfo=timezone.utc) for day in (1, 2)]
    run(store.jobs.create_many([{**moved, "ts": moment} for moment in moments]))
    for status in ("EXEC", "SUCC"):
        run(store.update_job_status(JobStatus("J", status)))
    history = run(store.get_job_history("J"))
    assert [(row.status, row.meta) for row in history] == [("SUCC", {}), ("ABEND", old), ("ABEND", old)]
    run(store.jobs.create(**{**moved, "job_name": "L"}, ts=moments[0]))
    again = run(store.update_job_status(JobStatus("L", "SUCC", timestamp=moments[0])))
    assert [row.id for row in run(store.get_job_history("L"))] == [again.id], "the same moment is the same row"


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
    assert run(store.get_events_in_range(utc_now() - 2 * HOUR, utc_now() - HOUR)) == []
    assert [row.id for row in run(store.get_events_in_range(event.ts, event.ts))] == [event.id], "both ends included"
    assert run(store.acknowledge_event(-1, "ana")) is None


def test_patterns_and_solutions(run: Any) -> None:
    store = TWSStore(db=run.db)
    run(store.detect_pattern(PatternMatch("late", "PAY", "often late", 0.4)))
    assert run(store.get_patterns("PAY")) == []
    assert len(run(store.get_patterns("PAY", min_confidence=0.4))) == 1
    grown = run(store.detect_pattern(PatternMatch("late", "PAY", "often late", 0.9, pattern_data={"x": 1})))
    assert (grown.occurrences, grown.confidence, grown.pattern_data) == (2, 0.9, {"x": 1})
    assert run(store.get_patterns("OTHER")) == []
    assert run(store.detect_pattern(PatternMatch("late", "PAY", "often late", 0.1))).confidence == 0.9
    run(store.patterns.update(grown.id, is_active=False))
    assert run(store.get_patterns("PAY")) == []
    general = run(store.add_solution("disk", "disk full", "delete"))
    own = run(store.add_solution("disk", "disk full", "extend", job_name="PAY"))
    run(store.record_solution_outcome(general.id, success=True))
    assert run(store.record_solution_outcome(own.id, success=False)).failure_count == 1
    others = run(store.add_solution("disk", "disk full", "pray", job_name="OTHER"))
    for _ in range(2):
        assert run(store.record_solution_outcome(others.id, success=True)).failure_count == 0
    best = run(store.find_solution("disk", "PAY"))
    assert (best.id, best.success_count) == (general.id, 1)
    assert run(store.find_solution("none")) is None


def test_cleanup_keeps_what_is_new(run: Any) -> None:
    store = TWSStore(db=run.db)
    for days in (40, 20):
        ts = utc_now() - timedelta(days=days)
        run(store.events.create(event_type="e", message=f"{days}", ts=ts))
        run(store.jobs.create(job_name=f"{days}", status="SUCC", ts=ts))
        run(store.workstations.create(workstation_name=f"{days}", status="up", ts=ts))
        run(store.snapshots.create(snapshot_data={"days": days}, ts=ts))
    assert run(store.cleanup_old_data(30)) == {"jobs": 1, "workstations": 1, "events": 1, "snapshots": 1}
    assert [row.message for row in run(store.get_events())] == ["20"]
    assert [row.job_name for row in run(store.jobs.get_all())] == ["20"]
    assert [row.snapshot_data for row in run(store.snapshots.get_all())] == [{"days": 20}]


def test_conversations_are_found_by_word_and_by_substring(run: Any) -> None:
    store = ContextStore(db=run.db)
    user = run(store.add_conversation("s1", "user", "Por que o job PAGAMENTO_50% falhou?", user_id="ana"))
    run(store.add_conversation("s1", "assistant", "Disk full"))
    assert [row.role for row in run(store.get_session_history("s1"))] == ["user", "assistant"]
    assert [row.id for row in run(store.search_conversations("job falhou"))] == [user.id]
    assert [row.id for row in run(store.search_conversations("GAMENTO_50%"))] == [user.id]
    assert run(store.search_conversations("100%")) == []
    assert [row.id for row in run(store.search_conversations("falh job"))] == [user.id], "words may go on"
    assert run(store.flag_memory(user.id))
    assert run(store.is_memory_flagged(user.id))
    assert run(store.approve_memory(user.id))
    assert not run(store.atomic_check_and_flag(user.id, expected_approved=False))
    assert run(store.atomic_check_and_flag(user.id, expected_approved=True))
    assert not run(store.is_memory_approved(user.id))
    assert run(store.delete_memory(user.id))
    assert not run(store.delete_memory(user.id))


@pytest.mark.parametrize(
    ("query", "held", "other"),
    [("0% s", "100% sure", "1000 sure"), ("a_b", "xa_bx", "xacbx"), ("a\\b", "xa\\bx", "xabx")],
)
def test_what_is_looked_for_as_it_stands_has_no_wildcards(run: Any, query: str, held: str, other: str) -> None:
    store = ContextStore(db=run.db)
    for text in (held, other):
        run(store.add_conversation("s1", "user", text))
        run(store.add_content("document", "nothing", title=text))
    assert [row.content for row in run(store.search_conversations(query))] == [held]
    assert [row.title for row in run(store.content.search_content(query))] == [held]


def test_a_pasted_log_of_many_words_is_looked_for_as_it_stands(run: Any) -> None:
    store = ContextStore(db=run.db)
    log = " ".join(f"w{number}" for number in range(40_000))
    run(store.add_conversation("s1", "user", log))
    assert [row.content for row in run(store.search_conversations(log))] == [log]
    assert [row["content"] for row in run(store.get_relevant_context(log))] == [log]
    assert run(store.search_conversations(log + " and more")) == []


def test_what_is_found_is_active_of_the_type_and_the_newest_first(run: Any) -> None:
    store = ContextStore(db=run.db)
    for query, text in (("timeout", "a timeout"), ("meout", "a timeout")):
        for hours, kind, active in ((3, "a", True), (1, "b", True), (2, "a", True), (0, "a", False)):
            then = utc_now() - hours * HOUR
            values = {"content_type": kind, "title": f"{hours}", "content": text, "is_active": active}
            run(store.content.create(**values, updated_at=then))
            run(store.conversations.create(session_id=f"{hours}", role="user", content=text, ts=then))
        search = store.content.search_content
        assert [row.title for row in run(search(query))] == ["1", "2", "3"]
        assert [row.title for row in run(search(query, content_type="a"))] == ["2", "3"]
        assert [row.session_id for row in run(store.search_conversations(query))] == ["0", "1", "2", "3"]
        run(store.content.delete_many({"content": text}))
        run(store.conversations.delete_many({"content": text}))


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
    run(store.create(action="old", ts=utc_now() - timedelta(days=400)))
    assert [row.action for row in run(store.get_recent_actions())] == ["update", "old"]
    assert run(store.cleanup(365)) == 1
    assert [row.action for row in run(store.get_recent_actions())] == ["update"]


def test_a_queue_of_memories_under_review(run: Any) -> None:
    queue = AuditQueueRepository(db=run.db)
    run(queue.add_audit_record({"memory_id": "m1", "user_query": "q"}))
    assert [item.payload["memory_id"] for item in run(queue.get_pending_audits())] == ["m1"]
    assert run(queue.update_audit_status("m1", "approved"))
    assert run(queue.is_memory_approved("m1"))
    assert not run(queue.update_audit_status("m2", "approved"))
    assert run(queue.get_audit_metrics()) == {"approved": 1, "total": 1}
    again = run(queue.add_audit_record({"memory_id": "m1"}))
    assert not run(queue.is_memory_approved("m1")), "the newest counts"
    assert run(queue.update_audit_status("m1", "rejected"))
    assert run(queue.get_by_id(again.id)).completed_at is not None
    assert run(queue.update_audit_status("m1", "pending"))
    assert run(queue.get_by_id(again.id)).completed_at is None
    assert run(queue.delete_audit_record("m1"))
    assert run(queue.is_memory_approved("m1"))
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
    assert run(store.get_feedback_stats(window=1)) == {"positive": 1, "negative": 0, "positive_rate": 1.0}
    assert run(tuned.adjust_threshold("confidence", 9)) == 1.0
    history = run(tuned.thresholds.find_one({"threshold_name": "confidence"})).adjustment_history
    assert [(change["old_value"], change["new_value"]) for change in history["changes"]] == [(0.55, 1.0)]
    assert run(tuned.auto_tune(feedback_window=1))["adjusted"] is True
    assert run(tuned.get_threshold("confidence")) == 0.98
    assert run(tuned.adjust_threshold("confidence", -9)) == 0.0

    async def first_changes() -> None:
        await asyncio.gather(*(tuned.adjust_threshold("several at once", 1 / 64) for _ in range(20)))

    run(first_changes())
    assert run(tuned.get_threshold("several at once")) == 0.8125
    for value, kept in ((7, 2.0), (-7, 1.0)):
        assert run(tuned.set_threshold(f"new {value}", value, 1.0, 2.0)).current_value == kept
        changed = run(tuned.set_threshold("new 7", value))
        assert (changed.current_value, changed.adjustment_history["changes"][-1]["new_value"]) == (kept, kept)
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
    assert hours[0].avg_value == pytest.approx(145 / 11)
    next_hour = old.replace(minute=0) + (HOUR if old.hour < 23 else -HOUR)  # of the same day
    run(store.record("m", 5.0, timestamp=next_hour))
    assert run(store.cleanup(30)) == 1
    for rolled in ((2, 1), (0, 0)):  # a day is no hour, to be rolled up once more
        assert run(store.aggregations.roll_up(utc_now() - 2 * HOUR, "hour", "day")) == rolled
    days = run(store.get_aggregations("m", "day", old - 48 * HOUR, utc_now()))
    assert [(row.count, row.sum_value) for row in days] == [(12, 150.0)]
    assert days[0].avg_value == pytest.approx(12.5)
    run(store.record("m", 7.5, timestamp=next_hour))
    assert run(store.cleanup(30)) == 1
    assert run(store.aggregations.roll_up(utc_now() - 2 * HOUR, "hour", "day")) == (1, 1)
    [day] = run(store.get_aggregations("m", "day", old - 48 * HOUR, utc_now()))
    assert (day.count, day.avg_value) == (13, pytest.approx(157.5 / 13))
    assert [row["value"] for row in run(store.get_metric_values("m"))] == [7.0]
    with pytest.raises(ValueError, match="does not fit"):
        run(store.aggregations.roll_up(utc_now(), "day", "hour"))


def test_only_whole_periods_are_rolled_up(run: Any) -> None:
    store = MetricsStore(db=run.db)
    hour = datetime(2026, 1, 2, 3, tzinfo=timezone.utc)
    for minute in (0, 59):
        run(store.record("m", 1.0, timestamp=hour + timedelta(minutes=minute)))
    assert run(store.data_points.roll_up(hour + timedelta(minutes=30))) == (0, 0)
    assert run(store.data_points.roll_up(hour + HOUR)) == (2, 1)
    assert run(store.aggregations.roll_up(hour + 12 * HOUR)) == (0, 0)
    assert run(store.aggregations.roll_up(hour + 24 * HOUR)) == (1, 1)


def test_a_database_is_used_in_one_event_loop_after_another(settings: DatabaseSettings) -> None:
    db = Database(settings)

    async def one_after_another() -> Any:
        return (await db.fetch("SELECT 1 AS one"))[0]["one"]

    assert [asyncio.run(one_after_another()) for _ in range(2)] == [1, 1]


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
