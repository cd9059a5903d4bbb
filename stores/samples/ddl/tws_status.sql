CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL, system_health TEXT, jobs_running INTEGER,
    jobs_completed INTEGER, jobs_failed INTEGER, jobs_pending INTEGER, total_jobs INTEGER, snapshot_data
    TEXT, created_at TEXT DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE job_status (
    id INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT, job_name TEXT, job_stream TEXT, workstation TEXT,
    status TEXT, return_code INTEGER, start_time TEXT, end_time TEXT, duration_seconds REAL, error_message
    TEXT, timestamp TEXT, created_at TEXT DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX idx_job_status_name ON job_status (job_name, timestamp);
CREATE TABLE workstation_status (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, status TEXT, agent_status TEXT, jobs_running INTEGER,
    jobs_pending INTEGER, timestamp TEXT, created_at TEXT DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT UNIQUE, event_type TEXT, severity TEXT, source TEXT,
    message TEXT, details TEXT, previous_state TEXT, current_state TEXT, timestamp TEXT, created_at TEXT
    DEFAULT CURRENT_TIMESTAMP
);
CREATE VIRTUAL TABLE events_fts USING fts5 (message, source, content = 'events', content_rowid = 'id');
CREATE TABLE patterns (
    id INTEGER PRIMARY KEY AUTOINCREMENT, pattern_id TEXT UNIQUE, pattern_type TEXT, description TEXT,
    confidence REAL, occurrences INTEGER, first_seen TEXT, last_seen TEXT, affected_jobs TEXT,
    suggested_action TEXT, metadata TEXT, created_at TEXT, updated_at TEXT
);
CREATE TABLE problem_solutions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, problem_id TEXT UNIQUE, problem_type TEXT, problem_pattern TEXT,
    solution TEXT, success_rate REAL, times_applied INTEGER, times_successful INTEGER, last_applied TEXT,
    created_at TEXT, updated_at TEXT
);
