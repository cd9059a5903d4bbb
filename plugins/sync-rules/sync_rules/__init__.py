"""The rules every Paralelo tap obeys: pages, bookmarks, lookback, Arrow batch files."""
