"""Generated data for the two tables the project copies. No person behind any row."""
