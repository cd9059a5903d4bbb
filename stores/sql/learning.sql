-- name: set_threshold
-- The value is kept within its bounds; each change is added to the history in the same statement, so none is lost to
-- a change that comes at the same time.
INSERT INTO learning.learning_thresholds AS t (threshold_name, current_value, min_value, max_value)
VALUES (:name, least(greatest(CAST(:value AS float8), CAST(:min_value AS float8)), CAST(:max_value AS float8)),
    CAST(:min_value AS float8), CAST(:max_value AS float8))
ON CONFLICT (threshold_name) DO UPDATE
SET current_value = least(greatest(CAST(:value AS float8), t.min_value), t.max_value),
    last_adjusted = now(), updated_at = now(),
    adjustment_history = jsonb_set(
        t.adjustment_history, '{changes}',
        coalesce(t.adjustment_history -> 'changes', '[]') || jsonb_build_object(
            'old_value', t.current_value,
            'new_value', least(greatest(CAST(:value AS float8), t.min_value), t.max_value),
            'timestamp', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
            'reason', CAST(:reason AS text)))
RETURNING *;

-- name: adjust_threshold
-- One statement also where there is none yet: of two first changes at the same time neither is lost.
INSERT INTO learning.learning_thresholds AS t (threshold_name, current_value)
VALUES (:name, least(greatest(0.5 + CAST(:by AS float8), 0.0), 1.0))
ON CONFLICT (threshold_name) DO UPDATE
SET current_value = least(greatest(t.current_value + CAST(:by AS float8), t.min_value), t.max_value),
    last_adjusted = now(), updated_at = now(),
    adjustment_history = jsonb_set(
        t.adjustment_history, '{changes}',
        coalesce(t.adjustment_history -> 'changes', '[]') || jsonb_build_object(
            'old_value', t.current_value,
            'new_value', least(greatest(t.current_value + CAST(:by AS float8), t.min_value), t.max_value),
            'timestamp', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
            'reason', CAST(:reason AS text)))
RETURNING *;

-- name: feedback_share
-- Of the newest judgements: how many were for and against.
SELECT count(*) FILTER (WHERE is_positive OR rating >= 4) AS positive,
    count(*) FILTER (WHERE NOT is_positive OR rating <= 2) AS negative
FROM (SELECT is_positive, rating FROM learning.feedback ORDER BY created_at DESC LIMIT :window) AS newest;

-- name: liked
SELECT * FROM learning.feedback WHERE is_positive OR rating >= 4 ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: disliked
SELECT * FROM learning.feedback WHERE NOT is_positive OR rating <= 2 ORDER BY created_at DESC, id DESC LIMIT :limit;

-- name: most_uncertain
SELECT * FROM learning.active_learning_candidates
WHERE status = 'pending' ORDER BY uncertainty_score DESC, id LIMIT :limit;
