"""The 17 tables, from `sql/0001_tables.sql`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = {
    "tws": "tws_job_status, tws_snapshots, tws_workstation_status, tws_events, tws_patterns, tws_problem_solutions",
    "context": "conversations, context_content",
    "audit": "audit_entries, audit_queue",
    "analytics": "session_history, user_profiles",
    "learning": "feedback, learning_thresholds, active_learning_candidates",
    "metrics": "metric_data_points, metric_aggregations",
}
_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Make them."""
    statements = (_SQL / "0001_tables.sql").read_text(encoding="utf-8").split(";\n")
    for statement in statements:
        if statement.strip():
            # exec_driver_sql: a colon in the DDL is no parameter.
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Drop them, with every row; a schema that holds something else stays, with what it holds."""
    for schema, tables in TABLES.items():
        for table in tables.split(", "):
            op.get_bind().exec_driver_sql(f"DROP TABLE IF EXISTS {schema}.{table}")
        op.get_bind().exec_driver_sql(
            f"DO $$ BEGIN IF to_regnamespace('{schema}') IS NOT NULL AND NOT EXISTS (SELECT FROM pg_class"
            f" WHERE relnamespace = to_regnamespace('{schema}')) THEN DROP SCHEMA {schema}; END IF; END $$"
        )
