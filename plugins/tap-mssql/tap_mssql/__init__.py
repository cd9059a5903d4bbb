"""Singer tap for SQL Server: very large tables as Arrow batches, resumable and exact."""
