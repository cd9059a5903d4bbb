"""The 17 tables, from `sql/0001_tables.sql`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    """Make them."""
    statements = (_SQL / "0001_tables.sql").read_text(encoding="utf-8").split(";\n")
    for statement in statements:
        if statement.strip():
            # exec_driver_sql: a colon in the DDL is no parameter.
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Drop them, with every row."""
    for schema in ("tws", "context", "audit", "analytics", "learning", "metrics"):
        op.get_bind().exec_driver_sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
