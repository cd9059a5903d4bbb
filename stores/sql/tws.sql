-- name: upsert_job_status
-- The newest row of a run is brought up to date, or the run's first row is written. Two writers of one run take turns
-- (the lock ends with the transaction), so that they cannot both find nothing and both insert.
WITH turn AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(hashtextextended('tws_job_status:' || :job_name || ':' || :run_number, 0))
), newest AS MATERIALIZED (
    SELECT s.id
    FROM turn, LATERAL (
        SELECT id FROM tws.tws_job_status
        WHERE job_name = :job_name AND run_number = CAST(:run_number AS integer)
        ORDER BY ts DESC, id DESC LIMIT 1
    ) AS s
), changed AS (
    UPDATE tws.tws_job_status AS j
    SET status = :status, job_stream = coalesce(:job_stream, j.job_stream),
        workstation = coalesce(:workstation, j.workstation), start_time = :start_time, end_time = :end_time,
        return_code = :return_code, ts = :ts, meta = CAST(:meta AS jsonb),
        snapshot_id = coalesce(CAST(:snapshot_id AS bigint), j.snapshot_id)
    FROM newest WHERE j.id = newest.id
    RETURNING j.*
), written AS (
    INSERT INTO tws.tws_job_status
        (snapshot_id, job_name, job_stream, workstation, status, run_number, start_time, end_time, return_code, ts, meta)
    SELECT CAST(:snapshot_id AS bigint), :job_name, :job_stream, :workstation, :status, CAST(:run_number AS integer),
        CAST(:start_time AS timestamptz), CAST(:end_time AS timestamptz), CAST(:return_code AS integer), :ts,
        CAST(:meta AS jsonb)
    FROM turn WHERE NOT EXISTS (SELECT FROM newest)
    RETURNING *
)
SELECT * FROM changed UNION ALL SELECT * FROM written;

-- name: upsert_pattern
WITH turn AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(
        hashtextextended('tws_patterns:' || :pattern_type || ':' || coalesce(CAST(:job_name AS text), ''), 0))
), known AS MATERIALIZED (
    SELECT p.id
    FROM turn, LATERAL (
        SELECT id FROM tws.tws_patterns
        WHERE pattern_type = :pattern_type AND job_name IS NOT DISTINCT FROM CAST(:job_name AS text)
        ORDER BY id LIMIT 1
    ) AS p
), changed AS (
    UPDATE tws.tws_patterns AS p
    SET occurrences = p.occurrences + 1, last_seen = greatest(p.last_seen, now()),
        confidence = greatest(p.confidence, :confidence),
        pattern_data = coalesce(CAST(:pattern_data AS jsonb), p.pattern_data)
    FROM known WHERE p.id = known.id
    RETURNING p.*
), written AS (
    INSERT INTO tws.tws_patterns
        (pattern_type, job_name, description, confidence, occurrences, first_seen, last_seen, pattern_data)
    SELECT :pattern_type, CAST(:job_name AS text), :description, :confidence, :occurrences, :first_seen, :last_seen,
        CAST(:pattern_data AS jsonb)
    FROM turn WHERE NOT EXISTS (SELECT FROM known)
    RETURNING *
)
SELECT * FROM changed UNION ALL SELECT * FROM written;

-- name: record_outcome
UPDATE tws.tws_problem_solutions
SET success_count = success_count + CASE WHEN :success THEN 1 ELSE 0 END,
    failure_count = failure_count + CASE WHEN :success THEN 0 ELSE 1 END,
    last_used = now()
WHERE id = :id
RETURNING *;
