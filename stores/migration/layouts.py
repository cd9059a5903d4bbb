"""The layouts the old files have: how each is recognised, and which of its tables become which model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Destination:
    """One old table that has a model: the model's table, and the columns that have to be unique there."""

    target: str
    unique: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """One layout. `signature` holds, for some tables, the columns that no other layout has.

    `mapped` is in the order in which the tables are mapped: what others refer to comes first. Tables of the file that
    are not in it go to the archive.
    """

    name: str
    signature: Mapping[str, frozenset[str]]
    mapped: Mapping[str, Destination]

    def fits(self, tables: Mapping[str, frozenset[str]]) -> bool:
        """Whether a file with these tables and columns has this layout."""
        return all(columns <= tables.get(table, frozenset()) for table, columns in self.signature.items())


def _layout(name: str, signature: dict[str, str], **mapped: Destination) -> Layout:
    return Layout(name, {table: frozenset(columns.split()) for table, columns in signature.items()}, mapped)


LAYOUTS = (
    _layout(
        "tws_status",
        {"job_status": "job_name return_code", "events": "event_id severity"},
        snapshots=Destination("tws.tws_snapshots"),
        job_status=Destination("tws.tws_job_status", ("job_name", "run_number", "ts")),
        workstation_status=Destination("tws.tws_workstation_status"),
        events=Destination("tws.tws_events"),
        patterns=Destination("tws.tws_patterns"),
        problem_solutions=Destination("tws.tws_problem_solutions"),
    ),
    _layout(
        "context_store",
        {"conversations": "user_query agent_response"},
        conversations=Destination("context.conversations"),
        content=Destination("context.context_content"),
    ),
    _layout(
        "audit_queue",
        {"audit_queue": "memory_id ia_audit_reason"},
        audit_queue=Destination("audit.audit_queue"),
    ),
    _layout(
        "user_behavior",
        {"user_profiles": "user_id profile_data", "session_history": "session_id bot_probability"},
        user_profiles=Destination("analytics.user_profiles", ("user_id",)),
        session_history=Destination("analytics.session_history", ("session_id",)),
    ),
    _layout(
        "feedback_store",
        {"feedback": "query_hash doc_id rating"},
        feedback=Destination("learning.feedback"),
    ),
    _layout(
        "metrics",
        {"raw_metrics": "name value tag_hash"},
        raw_metrics=Destination("metrics.metric_data_points"),
        aggregated_metrics=Destination(
            "metrics.metric_aggregations", ("metric_name", "aggregation_type", "period_start")
        ),
    ),
    _layout(
        "threshold_tuning",
        {"thresholds": "name current_value default_value"},
        thresholds=Destination("learning.learning_thresholds", ("threshold_name",)),
    ),
    _layout(
        "active_learning_1",
        {"review_queue": "query confidence_scores reviewed_by"},
        review_queue=Destination("learning.active_learning_candidates"),
    ),
    _layout(
        "active_learning_2",
        {"review_requests": "query confidence_scores reviewer_id"},
        review_requests=Destination("learning.active_learning_candidates"),
    ),
    _layout("learning", {"job_patterns": "pattern_key pattern_data"}),
)


def recognise(tables: Mapping[str, frozenset[str]]) -> Layout | None:
    """The layout of a file with these tables and columns, or None."""
    return next((layout for layout in LAYOUTS if layout.fits(tables)), None)
