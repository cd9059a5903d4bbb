CREATE TABLE raw_metrics (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, value REAL, metric_type TEXT, timestamp TEXT, tags
    TEXT, tag_hash TEXT, instance_id TEXT, created_at TEXT
);
CREATE TABLE aggregated_metrics (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, period TEXT, period_start TEXT, count INTEGER,
    sum_value REAL, min_value REAL, max_value REAL, avg_value REAL, tags TEXT, tag_hash TEXT, instance_id
    TEXT, created_at TEXT, UNIQUE (name, period, period_start, tag_hash, instance_id)
);
