"""Alembic's entry: always on the caller's connection, in the caller's transaction."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from stores.models import SCHEMAS, Model
from stores.tables import VERSIONS_SCHEMA

connection = context.config.attributes["connection"]
if connection.execute(text(f"SELECT to_regnamespace('{VERSIONS_SCHEMA}') IS NULL")).scalar_one():
    # IF NOT EXISTS would take CREATE on the database also where the schema is there.
    connection.execute(text(f"CREATE SCHEMA {VERSIONS_SCHEMA}"))
context.configure(
    connection=connection,
    target_metadata=Model.metadata,
    version_table_schema=VERSIONS_SCHEMA,
    include_schemas=True,
    include_name=lambda name, kind, _: kind != "schema" or name in SCHEMAS,
    compare_type=True,
    transactional_ddl=True,
)
context.run_migrations()
