-- One query for each old table that has a model. It reads `source` (_rowid, r: the old row as JSON) and answers _rowid,
-- _reason (why the row is rejected, or null), _note (what is worth telling, or null) and the model's columns. Functions
-- without a schema are paralelo_stores': see functions.sql for the rules.

-- name: tws_status.snapshots
SELECT _rowid,
    judgement(wrong('timestamp', r -> 'timestamp', 'time'), missing('timestamp', r -> 'timestamp'),
        wrong('total_jobs', r -> 'total_jobs', 'integer')) AS _reason,
    broken('snapshot_data', r -> 'snapshot_data') AS _note,
    as_time(r -> 'timestamp') AS ts,
    with_legacy(as_json(r -> 'snapshot_data'), rest(r, 'timestamp', 'total_jobs', 'snapshot_data')) AS snapshot_data,
    coalesce(as_integer(r -> 'total_jobs'), 0)::integer AS job_count,
    0 AS workstation_count
FROM source

-- name: tws_status.job_status
-- The old table had no run number. Rows of one job at one moment are numbered in the order they were written.
SELECT _rowid,
    judgement(missing('job_name', r -> 'job_name'), missing('status', r -> 'status'),
        missing('timestamp', coalesce(nullif(r -> 'timestamp', 'null'), r -> 'created_at')),
        wrong('timestamp', coalesce(nullif(r -> 'timestamp', 'null'), r -> 'created_at'), 'time'),
        wrong('return_code', r -> 'return_code', 'integer'), wrong('start_time', r -> 'start_time', 'time'),
        wrong('end_time', r -> 'end_time', 'time')) AS _reason,
    NULL::text AS _note,
    as_text(r -> 'job_name') AS job_name,
    as_text(r -> 'job_stream') AS job_stream,
    as_text(r -> 'workstation') AS workstation,
    as_text(r -> 'status') AS status,
    row_number() OVER (
        PARTITION BY as_text(r -> 'job_name'), as_time(coalesce(nullif(r -> 'timestamp', 'null'), r -> 'created_at'))
        ORDER BY _rowid)::integer AS run_number,
    as_time(r -> 'start_time') AS start_time,
    as_time(r -> 'end_time') AS end_time,
    as_integer(r -> 'return_code')::integer AS return_code,
    as_time(coalesce(nullif(r -> 'timestamp', 'null'), r -> 'created_at')) AS ts,
    with_legacy(NULL, rest(r, 'job_name', 'job_stream', 'workstation', 'status', 'start_time', 'end_time', 'return_code'))
        AS meta
FROM source

-- name: tws_status.workstation_status
SELECT _rowid,
    judgement(missing('name', r -> 'name'), missing('status', r -> 'status'), missing('timestamp', r -> 'timestamp'),
        wrong('timestamp', r -> 'timestamp', 'time'), wrong('jobs_running', r -> 'jobs_running', 'integer')) AS _reason,
    NULL::text AS _note,
    as_text(r -> 'name') AS workstation_name,
    as_text(r -> 'status') AS status,
    coalesce(as_integer(r -> 'jobs_running'), 0)::integer AS active_jobs,
    as_time(r -> 'timestamp') AS ts,
    with_legacy(NULL, rest(r, 'name', 'status', 'jobs_running', 'timestamp')) AS meta
FROM source

-- name: tws_status.events
SELECT _rowid,
    judgement(missing('event_type', r -> 'event_type'), missing('message', r -> 'message'),
        missing('timestamp', r -> 'timestamp'), wrong('timestamp', r -> 'timestamp', 'time')) AS _reason,
    broken('details', r -> 'details') AS _note,
    as_text(r -> 'event_type') AS event_type,
    coalesce(as_text(r -> 'severity'), 'info') AS severity,
    as_text(r -> 'source') AS workstation,
    as_text(r -> 'message') AS message,
    with_legacy(as_json(r -> 'details'), rest(r, 'event_type', 'severity', 'source', 'message', 'details', 'timestamp'))
        AS details,
    as_time(r -> 'timestamp') AS ts
FROM source

-- name: tws_status.patterns
-- A pattern of one job is that job's; one of several jobs is no single job's.
SELECT _rowid,
    judgement(missing('pattern_type', r -> 'pattern_type'), missing('description', r -> 'description'),
        wrong('confidence', r -> 'confidence', 'number'), wrong('occurrences', r -> 'occurrences', 'integer'),
        missing('first_seen', r -> 'first_seen'), wrong('first_seen', r -> 'first_seen', 'time'),
        missing('last_seen', r -> 'last_seen'), wrong('last_seen', r -> 'last_seen', 'time')) AS _reason,
    judgement(broken('affected_jobs', r -> 'affected_jobs'), broken('metadata', r -> 'metadata')) AS _note,
    as_text(r -> 'pattern_type') AS pattern_type,
    CASE WHEN jsonb_typeof(as_json(r -> 'affected_jobs')) = 'array' AND jsonb_array_length(as_json(r -> 'affected_jobs')) = 1
        THEN as_text(as_json(r -> 'affected_jobs') -> 0) END AS job_name,
    as_text(r -> 'description') AS description,
    coalesce(as_number(r -> 'confidence'), 0) AS confidence,
    coalesce(as_integer(r -> 'occurrences'), 1)::integer AS occurrences,
    as_time(r -> 'first_seen') AS first_seen,
    as_time(r -> 'last_seen') AS last_seen,
    with_legacy(
        jsonb_build_object('affected_jobs', as_json(r -> 'affected_jobs'), 'metadata', as_json(r -> 'metadata')),
        rest(r, 'pattern_type', 'description', 'confidence', 'occurrences', 'first_seen', 'last_seen', 'affected_jobs',
            'metadata')) AS pattern_data
FROM source

-- name: tws_status.problem_solutions
SELECT _rowid,
    judgement(missing('problem_type', r -> 'problem_type'), missing('problem_pattern', r -> 'problem_pattern'),
        missing('solution', r -> 'solution'), wrong('times_applied', r -> 'times_applied', 'integer'),
        wrong('times_successful', r -> 'times_successful', 'integer'),
        wrong('last_applied', r -> 'last_applied', 'time'), missing('created_at', r -> 'created_at'),
        wrong('created_at', r -> 'created_at', 'time'),
        CASE WHEN as_integer(r -> 'times_successful') > as_integer(r -> 'times_applied')
            THEN 'times_successful is above times_applied' END) AS _reason,
    NULL::text AS _note,
    as_text(r -> 'problem_type') AS problem_type,
    as_text(r -> 'problem_pattern') AS problem_description,
    as_text(r -> 'solution') AS solution,
    coalesce(as_integer(r -> 'times_successful'), 0)::integer AS success_count,
    (coalesce(as_integer(r -> 'times_applied'), 0) - coalesce(as_integer(r -> 'times_successful'), 0))::integer
        AS failure_count,
    as_time(r -> 'last_applied') AS last_used,
    as_time(r -> 'created_at') AS created_at,
    with_legacy(NULL, rest(r, 'problem_type', 'problem_pattern', 'solution', 'times_applied', 'times_successful',
        'last_applied', 'created_at')) AS meta
FROM source

-- name: context_store.conversations
-- One row becomes the user's message and the assistant's; where one of the two was not stored there is one message. The
-- old table knew no sessions: each of its rows is one. The answer stands one microsecond after the question, so that
-- the order of time is the order of speaking.
SELECT _rowid,
    judgement(CASE WHEN as_text(r -> 'user_query') IS NULL AND as_text(r -> 'agent_response') IS NULL
            THEN 'neither user_query nor agent_response' END,
        missing('created_at', r -> 'created_at'), wrong('created_at', r -> 'created_at', 'time'),
        wrong('is_flagged', r -> 'is_flagged', 'boolean'), wrong('is_approved', r -> 'is_approved', 'boolean'),
        wrong('rating', r -> 'rating', 'integer'), unsearchable('user_query', r -> 'user_query'),
        unsearchable('agent_response', r -> 'agent_response')) AS _reason,
    broken('observations', r -> 'observations') AS _note,
    'legacy-' || _rowid AS session_id,
    part.role,
    part.content,
    as_time(r -> 'created_at') + part.after AS ts,
    with_legacy(jsonb_build_object('observations', as_json(r -> 'observations')),
        rest(r, 'user_query', 'agent_response', 'created_at', 'is_flagged', 'is_approved', 'observations')) AS meta,
    coalesce(as_boolean(r -> 'is_flagged'), false) AS is_flagged,
    coalesce(as_boolean(r -> 'is_approved'), false) AS is_approved
FROM source CROSS JOIN LATERAL (
    VALUES ('user', as_text(r -> 'user_query'), interval '0'),
        ('assistant', as_text(r -> 'agent_response'), interval '1 microsecond')
) AS part (role, content, after)
WHERE part.content IS NOT NULL
    OR (part.role = 'user' AND as_text(r -> 'user_query') IS NULL AND as_text(r -> 'agent_response') IS NULL)

-- name: context_store.content
SELECT _rowid,
    judgement(missing('content', r -> 'content'), unsearchable('content', r -> 'content'), missing('created_at', r -> 'created_at'),
        wrong('created_at', r -> 'created_at', 'time')) AS _reason,
    broken('metadata', r -> 'metadata') AS _note,
    'document' AS content_type,
    as_text(r -> 'content') AS content,
    as_time(r -> 'created_at') AS created_at,
    as_time(r -> 'created_at') AS updated_at,
    with_legacy(as_json(r -> 'metadata'), rest(r, 'content', 'metadata', 'created_at')) AS meta
FROM source

-- name: audit_queue.audit_queue
SELECT _rowid,
    judgement(missing('memory_id', r -> 'memory_id'), missing('created_at', r -> 'created_at'),
        wrong('created_at', r -> 'created_at', 'time'), wrong('reviewed_at', r -> 'reviewed_at', 'time'),
        wrong('ia_audit_confidence', r -> 'ia_audit_confidence', 'number'),
        CASE WHEN coalesce(as_text(r -> 'status'), '') NOT IN ('pending', 'approved', 'rejected')
            THEN 'status is none of pending, approved, rejected' END) AS _reason,
    NULL::text AS _note,
    'memory_review' AS action,
    rest(r, 'status', 'created_at', 'reviewed_at') AS payload,
    as_text(r -> 'status') AS status,
    as_time(r -> 'created_at') AS created_at,
    as_time(r -> 'reviewed_at') AS processed_at,
    CASE WHEN as_text(r -> 'status') <> 'pending' THEN as_time(r -> 'reviewed_at') END AS completed_at
FROM source

-- name: user_behavior.user_profiles
SELECT _rowid,
    judgement(missing('user_id', r -> 'user_id'), missing('updated_at', r -> 'updated_at'),
        wrong('updated_at', r -> 'updated_at', 'time')) AS _reason,
    broken('profile_data', r -> 'profile_data') AS _note,
    as_text(r -> 'user_id') AS user_id,
    '{}'::jsonb AS preferences,
    coalesce(as_json(r -> 'profile_data'), '{}') AS behavior_patterns,
    as_time(r -> 'updated_at') AS last_active,
    as_time(r -> 'updated_at') AS created_at,
    as_time(r -> 'updated_at') AS updated_at
FROM source

-- name: user_behavior.session_history
SELECT _rowid,
    judgement(missing('session_id', r -> 'session_id'), missing('start_time', r -> 'start_time'),
        wrong('start_time', r -> 'start_time', 'time'), wrong('duration', r -> 'duration', 'number'),
        CASE WHEN abs(as_number(r -> 'duration')) > 1e11 THEN 'duration is beyond 10^11 seconds' END,
        wrong('activity_count', r -> 'activity_count', 'integer'),
        CASE WHEN NOT EXISTS (SELECT FROM analytics.user_profiles AS p WHERE p.user_id = as_text(r -> 'user_id'))
            THEN 'its user_id has no profile' END) AS _reason,
    NULL::text AS _note,
    as_text(r -> 'session_id') AS session_id,
    as_text(r -> 'user_id') AS user_id,
    as_time(r -> 'start_time') AS started_at,
    CASE WHEN abs(as_number(r -> 'duration')) <= 1e11
        THEN as_time(r -> 'start_time') + make_interval(secs => as_number(r -> 'duration')) END AS ended_at,
    as_number(r -> 'duration') AS duration_seconds,
    coalesce(as_integer(r -> 'activity_count'), 0)::integer AS query_count,
    with_legacy(NULL, rest(r, 'session_id', 'user_id', 'start_time', 'duration', 'activity_count')) AS meta
FROM source

-- name: feedback_store.feedback
-- For and against as the new repositories count it: from 4 up, and to 2 down.
SELECT _rowid,
    judgement(wrong('rating', r -> 'rating', 'integer'), missing('timestamp', r -> 'timestamp'),
        wrong('timestamp', r -> 'timestamp', 'time')) AS _reason,
    broken('metadata', r -> 'metadata') AS _note,
    as_text(r -> 'query_hash') AS query_id,
    as_text(r -> 'query_text') AS query_text,
    as_text(r -> 'response_text') AS response_text,
    as_integer(r -> 'rating')::integer AS rating,
    'document' AS feedback_type,
    CASE WHEN as_integer(r -> 'rating') >= 4 THEN true WHEN as_integer(r -> 'rating') <= 2 THEN false END AS is_positive,
    as_time(r -> 'timestamp') AS created_at,
    with_legacy(as_json(r -> 'metadata'),
        rest(r, 'query_hash', 'query_text', 'response_text', 'rating', 'timestamp', 'metadata')) AS meta
FROM source

-- name: metrics.raw_metrics
SELECT _rowid,
    judgement(missing('name', r -> 'name'), missing('value', r -> 'value'), wrong('value', r -> 'value', 'number'),
        missing('timestamp', r -> 'timestamp'), wrong('timestamp', r -> 'timestamp', 'time')) AS _reason,
    broken('tags', r -> 'tags') AS _note,
    as_text(r -> 'name') AS metric_name,
    as_number(r -> 'value') AS value,
    with_legacy(as_json(r -> 'tags'), rest(r, 'name', 'value', 'timestamp', 'tags')) AS tags,
    as_time(r -> 'timestamp') AS ts
FROM source

-- name: metrics.aggregated_metrics
-- The new key knows neither tags nor instances. Rows that differ in these only become one, their counts and sums added;
-- each of them stays as it was where it landed, and its note says so.
SELECT _rowid, _reason,
    CASE WHEN count(*) OVER together > 1 AND _reason IS NULL
        THEN 'one of several tags or instances that became one row' END AS _note,
    jsonb_build_array(metric_name, aggregation_type, period_start)::text AS _part,
    metric_name, aggregation_type, period_start,
    period_start + CAST('1 ' || CASE WHEN _reason IS NULL THEN aggregation_type ELSE 'hour' END AS interval) AS period_end,
    min(lowest) OVER together AS min_value,
    max(highest) OVER together AS max_value,
    sum(total) FILTER (WHERE _reason IS NULL) OVER together / nullif(sum(points) OVER together, 0) AS avg_value,
    sum(total) FILTER (WHERE _reason IS NULL) OVER together AS sum_value,
    sum(points) OVER together AS count
FROM (
    SELECT _rowid,
        judgement(missing('name', r -> 'name'), missing('period_start', r -> 'period_start'),
            wrong('period_start', r -> 'period_start', 'time'), missing('count', r -> 'count'),
            wrong('count', r -> 'count', 'integer'), wrong('sum_value', r -> 'sum_value', 'number'),
            wrong('min_value', r -> 'min_value', 'number'), wrong('max_value', r -> 'max_value', 'number'),
            CASE WHEN abs(as_number(r -> 'sum_value')) > 1e300 AND abs(as_number(r -> 'sum_value')) < 'infinity'
                THEN 'sum_value is too large to be added to others' END,
            CASE WHEN coalesce(as_text(r -> 'period'), '') NOT IN ('minute', 'hour', 'day', 'week', 'month')
                THEN 'period is none of minute, hour, day, week, month' END) AS _reason,
        as_text(r -> 'name') AS metric_name, as_text(r -> 'period') AS aggregation_type,
        as_time(r -> 'period_start') AS period_start, as_number(r -> 'min_value') AS lowest,
        as_number(r -> 'max_value') AS highest, as_number(r -> 'sum_value') AS total, as_integer(r -> 'count') AS points
    FROM source
) AS old
WINDOW together AS (PARTITION BY metric_name, aggregation_type, period_start, _reason IS NULL)

-- name: threshold_tuning.thresholds
-- What audit_log says of a threshold becomes its history; audit_log itself is archived as it is.
SELECT _rowid,
    judgement(missing('name', r -> 'name'), missing('current_value', r -> 'current_value'),
        wrong('current_value', r -> 'current_value', 'number'), wrong('min_value', r -> 'min_value', 'number'),
        wrong('max_value', r -> 'max_value', 'number'), wrong('last_updated', r -> 'last_updated', 'time')) AS _reason,
    NULL::text AS _note,
    as_text(r -> 'name') AS threshold_name,
    as_number(r -> 'current_value') AS current_value,
    coalesce(as_number(r -> 'min_value'), 0) AS min_value,
    coalesce(as_number(r -> 'max_value'), 1) AS max_value,
    as_time(r -> 'last_updated') AS last_adjusted,
    with_legacy(jsonb_build_object('changes', coalesce((
            SELECT jsonb_agg(rest(paralelo_stores.as_row(row_to_json(a.*)), 'threshold_name') ORDER BY a._rowid)
            FROM {audit_log} AS a
            WHERE paralelo_stores.as_row(row_to_json(a.*)) -> 'threshold_name' = source.r -> 'name'), '[]')),
        rest(r, 'name', 'current_value', 'min_value', 'max_value', 'last_updated')) AS adjustment_history,
    coalesce(as_time(r -> 'last_updated'), timestamptz 'epoch') AS created_at,
    coalesce(as_time(r -> 'last_updated'), timestamptz 'epoch') AS updated_at
FROM source

-- name: active_learning_1.review_queue
SELECT _rowid,
    judgement(missing('query', r -> 'query'), missing('created_at', r -> 'created_at'),
        wrong('created_at', r -> 'created_at', 'time'), wrong('reviewed_at', r -> 'reviewed_at', 'time')) AS _reason,
    judgement(broken('confidence_scores', r -> 'confidence_scores'), broken('metadata', r -> 'metadata'),
        broken('reasons', r -> 'reasons')) AS _note,
    as_text(r -> 'query') AS query_text,
    as_text(r -> 'response') AS response_text,
    uncertainty(as_json(r -> 'confidence_scores')) AS uncertainty_score,
    coalesce(as_text(r -> 'status'), 'pending') AS status,
    as_text(r -> 'correction') AS selected_label,
    as_text(r -> 'reviewed_by') AS reviewer_id,
    as_time(r -> 'reviewed_at') AS reviewed_at,
    as_time(r -> 'created_at') AS created_at,
    with_legacy(
        jsonb_build_object('metadata', as_json(r -> 'metadata'), 'reasons', as_json(r -> 'reasons'),
            'confidence_scores', as_json(r -> 'confidence_scores')),
        rest(r, 'query', 'response', 'reasons', 'confidence_scores', 'status', 'created_at', 'reviewed_at', 'reviewed_by',
            'correction', 'metadata')) AS meta
FROM source

-- name: active_learning_2.review_requests
SELECT _rowid,
    judgement(missing('query', r -> 'query'), missing('created_at', r -> 'created_at'),
        wrong('created_at', r -> 'created_at', 'time'), wrong('reviewed_at', r -> 'reviewed_at', 'time')) AS _reason,
    judgement(broken('confidence_scores', r -> 'confidence_scores'), broken('context', r -> 'context'),
        broken('reasons', r -> 'reasons')) AS _note,
    as_text(r -> 'query') AS query_text,
    as_text(r -> 'response') AS response_text,
    uncertainty(as_json(r -> 'confidence_scores')) AS uncertainty_score,
    coalesce(as_text(r -> 'status'), 'pending') AS status,
    as_text(r -> 'correction') AS selected_label,
    as_text(r -> 'reviewer_id') AS reviewer_id,
    as_time(r -> 'reviewed_at') AS reviewed_at,
    as_time(r -> 'created_at') AS created_at,
    with_legacy(
        jsonb_build_object('context', as_json(r -> 'context'), 'reasons', as_json(r -> 'reasons'),
            'confidence_scores', as_json(r -> 'confidence_scores')),
        rest(r, 'query', 'response', 'reasons', 'confidence_scores', 'status', 'created_at', 'reviewed_at',
            'reviewer_id', 'correction', 'context')) AS meta
FROM source
