"""Singer target for PostgreSQL: Arrow batches by COPY BINARY, every row once, a table activated whole."""
