CREATE TABLE user_profiles (
    user_id TEXT PRIMARY KEY, profile_data TEXT, updated_at REAL
);
CREATE TABLE session_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT, user_id TEXT, start_time REAL, duration REAL,
    activity_count INTEGER, bot_probability REAL, created_at REAL
);
