CREATE TABLE audit_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT, memory_id TEXT UNIQUE, user_query TEXT, agent_response TEXT,
    ia_audit_reason TEXT, ia_audit_confidence REAL, status TEXT DEFAULT 'pending', created_at TIMESTAMP
    DEFAULT CURRENT_TIMESTAMP, reviewed_at TIMESTAMP
);
