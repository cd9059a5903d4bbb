"""Singer tap for SQLite: any file, as stored, as Arrow batches; resumable and exact."""
