CREATE TABLE feedback (
    id TEXT PRIMARY KEY, query_hash TEXT, doc_id TEXT, rating INTEGER, user_id TEXT, timestamp TIMESTAMP,
    query_text TEXT, response_text TEXT, metadata TEXT
);
CREATE TABLE document_scores (
    doc_id TEXT PRIMARY KEY, total_feedback INTEGER, positive_count INTEGER, negative_count INTEGER,
    avg_rating REAL, last_feedback TIMESTAMP, updated_at TIMESTAMP
);
CREATE TABLE query_pattern_scores (
    query_hash TEXT, doc_id TEXT, total_feedback INTEGER, avg_rating REAL, updated_at TIMESTAMP, PRIMARY KEY
    (query_hash, doc_id)
);
