-- name: upsert_job_status
-- The newest row of a run is brought up to date, or the run's first row is written. Two writers of one run
-- take turns, so that they cannot both find nothing and both insert. A row of the migration is history, whose run
-- number is not the application's: it stays as it is, unless it is of the same moment.
WITH given AS (
    SELECT CAST(:snapshot_id AS bigint) AS snapshot_id, CAST(:job_name AS text) AS job_name,
        CAST(:job_stream AS text) AS job_stream, CAST(:workstation AS text) AS workstation,
        CAST(:status AS text) AS status, CAST(:run_number AS integer) AS run_number,
        CAST(:start_time AS timestamptz) AS start_time, CAST(:end_time AS timestamptz) AS end_time,
        CAST(:return_code AS integer) AS return_code, CAST(:ts AS timestamptz) AS ts, CAST(:meta AS jsonb) AS meta
), newest AS MATERIALIZED (
    SELECT s.id
    FROM given AS t, LATERAL (
        SELECT id FROM tws.tws_job_status AS j WHERE j.job_name = t.job_name AND j.run_number = t.run_number
            AND (j.ts = t.ts OR NOT coalesce(j.meta ? 'legacy', false))
        ORDER BY j.ts DESC, id DESC LIMIT 1
    ) AS s
), changed AS (
    UPDATE tws.tws_job_status AS j
    SET status = g.status, job_stream = coalesce(g.job_stream, j.job_stream),
        workstation = coalesce(g.workstation, j.workstation), start_time = g.start_time, end_time = g.end_time,
        return_code = g.return_code, ts = g.ts, meta = g.meta, snapshot_id = coalesce(g.snapshot_id, j.snapshot_id)
    FROM newest, given AS g WHERE j.id = newest.id
    RETURNING j.*
), written AS (
    INSERT INTO tws.tws_job_status
        (snapshot_id, job_name, job_stream, workstation, status, run_number, start_time, end_time, return_code, ts, meta)
    SELECT snapshot_id, job_name, job_stream, workstation, status, run_number, start_time, end_time, return_code, ts, meta
    FROM given WHERE NOT EXISTS (SELECT FROM newest)
    RETURNING *
)
SELECT * FROM changed UNION ALL SELECT * FROM written;

-- name: upsert_pattern
WITH given AS (
    SELECT CAST(:pattern_type AS text) AS pattern_type, CAST(:job_name AS text) AS job_name,
        CAST(:description AS text) AS description, CAST(:confidence AS float8) AS confidence,
        CAST(:occurrences AS integer) AS occurrences, CAST(:first_seen AS timestamptz) AS first_seen,
        CAST(:last_seen AS timestamptz) AS last_seen, CAST(:pattern_data AS jsonb) AS pattern_data
), known AS MATERIALIZED (
    SELECT p.id
    FROM given AS t, LATERAL (
        SELECT id FROM tws.tws_patterns AS p
        WHERE p.pattern_type = t.pattern_type AND p.job_name IS NOT DISTINCT FROM t.job_name
        ORDER BY id LIMIT 1
    ) AS p
), changed AS (
    UPDATE tws.tws_patterns AS p
    SET occurrences = p.occurrences + 1, last_seen = greatest(p.last_seen, now()),
        confidence = greatest(p.confidence, g.confidence), pattern_data = coalesce(g.pattern_data, p.pattern_data)
    FROM known, given AS g WHERE p.id = known.id
    RETURNING p.*
), written AS (
    INSERT INTO tws.tws_patterns
        (pattern_type, job_name, description, confidence, occurrences, first_seen, last_seen, pattern_data)
    SELECT pattern_type, job_name, description, confidence, occurrences, first_seen, last_seen, pattern_data
    FROM given WHERE NOT EXISTS (SELECT FROM known)
    RETURNING *
)
SELECT * FROM changed UNION ALL SELECT * FROM written;

-- name: record_outcome
UPDATE tws.tws_problem_solutions
SET success_count = success_count + CASE WHEN CAST(:success AS boolean) THEN 1 ELSE 0 END,
    failure_count = failure_count + CASE WHEN CAST(:success AS boolean) THEN 0 ELSE 1 END,
    last_used = now()
WHERE id = :id
RETURNING *;

-- name: status_summary
SELECT status, count(*) AS count FROM tws.tws_job_status GROUP BY status;

-- name: active_patterns
SELECT * FROM tws.tws_patterns
WHERE is_active AND confidence >= :min_confidence AND (CAST(:job_name AS text) IS NULL OR job_name = :job_name)
ORDER BY confidence DESC, id;

-- name: best_solution
SELECT * FROM tws.tws_problem_solutions
WHERE problem_type = :problem_type AND (CAST(:job_name AS text) IS NULL OR job_name = :job_name OR job_name IS NULL)
ORDER BY success_count DESC, id DESC LIMIT 1;
