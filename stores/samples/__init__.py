"""Generated SQLite stores, as the old application left them: every layout, every oddity."""
