"""Singer target for PostgreSQL: Arrow batches by COPY BINARY, every row once, a table activated whole."""

import sync_rules  # noqa: F401  # says how numpy starts, before the SDK imports it
