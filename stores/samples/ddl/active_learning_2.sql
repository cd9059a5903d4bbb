CREATE TABLE review_requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, query TEXT, response TEXT, reasons TEXT, priority INTEGER,
    confidence_scores TEXT, context TEXT, created_at TEXT, expires_at TEXT, status TEXT, reviewed_at TEXT,
    reviewer_id TEXT, correction TEXT, feedback TEXT
);
CREATE TABLE learned_corrections (
    id INTEGER PRIMARY KEY AUTOINCREMENT, query TEXT, query_embedding BLOB, original_response TEXT,
    corrected_response TEXT, correction_type TEXT, reviewer_id TEXT, created_at TEXT
);
