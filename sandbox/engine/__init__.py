"""What a statement means: T-SQL translated by sqlglot, answered by DuckDB, described by the stand-in's catalog."""
