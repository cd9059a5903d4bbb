CREATE TABLE conversations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user_query TEXT, agent_response TEXT, agent_id TEXT, model_used
    TEXT, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, is_flagged BOOLEAN DEFAULT 0, is_approved BOOLEAN
    DEFAULT 0, feedback TEXT, rating INTEGER, observations TEXT
);
CREATE VIRTUAL TABLE conversations_fts USING fts5 (user_query, agent_response, content = 'conversations', content_rowid = 'id');
CREATE TABLE content (
    id INTEGER PRIMARY KEY AUTOINCREMENT, content TEXT, metadata TEXT, created_at TIMESTAMP DEFAULT
    CURRENT_TIMESTAMP
);
