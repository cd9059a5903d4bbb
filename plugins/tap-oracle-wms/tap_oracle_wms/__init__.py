"""Singer tap for Oracle WMS Cloud: very large entities as Arrow batches, resumable and exact."""
