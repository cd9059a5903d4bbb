CREATE TABLE tuning_config (
    key TEXT PRIMARY KEY, value TEXT, updated_at TEXT
);
CREATE TABLE thresholds (
    name TEXT PRIMARY KEY, display_name TEXT, description TEXT, current_value REAL, min_value REAL,
    max_value REAL, default_value REAL, last_updated TEXT, updated_by TEXT
);
CREATE TABLE daily_metrics (
    date TEXT PRIMARY KEY, total_evaluations INTEGER, reviews_requested INTEGER, reviews_completed INTEGER,
    true_positives INTEGER, false_positives INTEGER, true_negatives INTEGER, false_negatives INTEGER,
    corrections_made INTEGER, thresholds_snapshot TEXT
);
CREATE TABLE review_outcomes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT, request_id TEXT, was_reviewed BOOLEAN, was_correct
    BOOLEAN, had_correction BOOLEAN, classification_confidence REAL, rag_similarity REAL, entity_count
    INTEGER
);
CREATE TABLE recommendations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, threshold_name TEXT, current_value REAL, recommended_value REAL,
    confidence REAL, reason TEXT, expected_impact TEXT, created_at TEXT, status TEXT, reviewed_at TEXT,
    reviewed_by TEXT
);
CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT, action TEXT, threshold_name TEXT, old_value REAL,
    new_value REAL, reason TEXT, performed_by TEXT, mode TEXT, metrics_snapshot TEXT
);
