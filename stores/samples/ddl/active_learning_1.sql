CREATE TABLE review_queue (
    id TEXT PRIMARY KEY, query TEXT, response TEXT, reasons TEXT, confidence_scores TEXT, status TEXT,
    created_at TEXT, reviewed_at TEXT, reviewed_by TEXT, correction TEXT, feedback TEXT, metadata TEXT
);
CREATE TABLE query_patterns (
    pattern_hash TEXT PRIMARY KEY, pattern_text TEXT, first_seen TEXT, last_seen TEXT, occurrence_count
    INTEGER, avg_confidence REAL
);
CREATE TABLE learning_outcomes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, review_id TEXT REFERENCES review_queue (id), original_response
    TEXT, corrected_response TEXT, improvement_applied BOOLEAN, applied_at TEXT, impact_score REAL
);
