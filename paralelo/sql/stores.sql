-- What a run leaves in the stores, where these are in the target database: docs/sqlite-stores.md.

-- name: there
SELECT to_regclass('tws.tws_job_status') IS NOT NULL AND to_regclass('metrics.metric_data_points') IS NOT NULL
    AND to_regclass('audit.audit_entries') IS NOT NULL AS there

-- name: job_status
-- TWSStore's questions (a job's history, failed jobs) find Paralelo's runs. A run is written once.
INSERT INTO tws.tws_job_status
    (job_name, job_stream, workstation, status, run_number, start_time, end_time, return_code, ts, meta)
SELECT job, environment, host, outcome, (id %% 2147483647)::integer, began_at, ended_at, exit, began_at,
    jsonb_strip_nulls(jsonb_build_object('run', run, 'table', table_schema || '.' || table_name, 'mode', mode,
        'reason', nullif(reason, ''), 'attempts', attempts, 'rows_read', rows_read, 'rows_written', rows_written,
        'rows_unchanged', rows_unchanged, 'rows_stale', rows_stale, 'rows_rejected', rows_rejected,
        'peak_memory', peak_memory))
FROM paralelo.run WHERE run = %(run)s AND name = %(name)s AND mode = %(mode)s AND ended_at IS NOT NULL
ON CONFLICT (job_name, run_number, ts) DO NOTHING

-- name: metrics
INSERT INTO metrics.metric_data_points (metric_name, value, unit, tags, ts)
SELECT 'paralelo.' || m.name, m.value, m.unit, jsonb_build_object('table', r.table_name, 'mode', r.mode, 'host', r.host),
    r.ended_at
FROM paralelo.run AS r CROSS JOIN LATERAL (VALUES
    ('rows_read', r.rows_read::float8, 'rows'), ('rows_written', r.rows_written, 'rows'),
    ('rows_rejected', r.rows_rejected, 'rows'), ('seconds', r.seconds, 's'),
    ('rows_per_second', r.rows_read / nullif(r.seconds, 0), 'rows/s'), ('peak_memory', r.peak_memory, 'bytes')
) AS m (name, value, unit)
WHERE r.run = %(run)s AND r.name = %(name)s AND r.mode = %(mode)s AND r.ended_at IS NOT NULL AND m.value IS NOT NULL

-- name: audit
INSERT INTO audit.audit_entries (action, user_id, entity_type, entity_id, new_value, ts)
SELECT 'sync.' || outcome, %(user)s, 'table', table_schema || '.' || table_name,
    jsonb_build_object('run', run, 'job', job, 'mode', mode, 'exit', exit, 'rows_written', rows_written), ended_at
FROM paralelo.run WHERE run = %(run)s AND name = %(name)s AND mode = %(mode)s AND ended_at IS NOT NULL
