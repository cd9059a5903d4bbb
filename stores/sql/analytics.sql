-- name: profile
-- The user's profile, made if there is none: two callers at once make one.
WITH made AS (
    INSERT INTO analytics.user_profiles (user_id) VALUES (CAST(:user_id AS text)) ON CONFLICT (user_id) DO NOTHING RETURNING *
)
SELECT * FROM made UNION ALL SELECT * FROM analytics.user_profiles WHERE user_id = CAST(:user_id AS text) LIMIT 1;

-- name: activity
INSERT INTO analytics.user_profiles AS p (user_id, total_sessions, total_queries, last_active)
VALUES (CAST(:user_id AS text), CAST(:sessions AS integer), CAST(:queries AS integer), now())
ON CONFLICT (user_id) DO UPDATE
SET total_sessions = p.total_sessions + excluded.total_sessions,
    total_queries = p.total_queries + excluded.total_queries,
    last_active = greatest(p.last_active, excluded.last_active), updated_at = now()
RETURNING *;

-- name: preferences
-- Laid over what is there, key by key; in the database, so that two callers' changes both stay.
INSERT INTO analytics.user_profiles AS p (user_id, preferences) VALUES (CAST(:user_id AS text), CAST(:preferences AS jsonb))
ON CONFLICT (user_id) DO UPDATE SET preferences = p.preferences || excluded.preferences, updated_at = now()
RETURNING *;

-- name: start_session
WITH owner AS (
    INSERT INTO analytics.user_profiles AS p (user_id, total_sessions, last_active) VALUES (CAST(:user_id AS text), 1, now())
    ON CONFLICT (user_id) DO UPDATE
    SET total_sessions = p.total_sessions + 1, last_active = now(), updated_at = now()
    RETURNING user_id
)
INSERT INTO analytics.session_history (session_id, user_id, meta)
SELECT CAST(:session_id AS text), user_id, CAST(:meta AS jsonb) FROM owner
RETURNING *;

-- name: end_session
UPDATE analytics.session_history
SET ended_at = now(), duration_seconds = extract(epoch FROM now() - started_at)
WHERE session_id = :session_id AND ended_at IS NULL
RETURNING *;

-- name: count_query
WITH counted AS (
    UPDATE analytics.session_history SET query_count = query_count + 1 WHERE session_id = :session_id RETURNING *
), owner AS (
    UPDATE analytics.user_profiles AS p
    SET total_queries = total_queries + 1, last_active = now(), updated_at = now()
    FROM counted WHERE p.user_id = counted.user_id
)
SELECT * FROM counted;
