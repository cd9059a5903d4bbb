"""One repository for each table: what can be asked of it and done to it."""
