CREATE TABLE job_patterns (
    pattern_key TEXT PRIMARY KEY, job_name TEXT, job_stream TEXT, pattern_data TEXT, updated_at TEXT
);
CREATE TABLE failure_resolutions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, error_code TEXT, resolution TEXT, created_at TEXT
);
CREATE TABLE failure_records (
    id INTEGER PRIMARY KEY AUTOINCREMENT, record_data TEXT, created_at TEXT
);
CREATE TABLE operator_actions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, action_data TEXT, created_at TEXT
);
