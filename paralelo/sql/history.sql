-- What ran under supervision: one row for each table of each run. `paralelo.sync` knows the syncs themselves.

-- name: exists
SELECT to_regclass('paralelo.run') IS NOT NULL AS there

-- name: schema_exists
SELECT to_regnamespace('paralelo') IS NOT NULL AS there

-- name: create_schema
CREATE SCHEMA IF NOT EXISTS paralelo

-- name: create
CREATE TABLE IF NOT EXISTS paralelo.run (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run text NOT NULL,
    name text NOT NULL,
    table_schema text NOT NULL,
    table_name text NOT NULL,
    mode text NOT NULL,
    job text NOT NULL,
    environment text NOT NULL,
    host text NOT NULL,
    began_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    outcome text NOT NULL DEFAULT 'running' CHECK (outcome IN ('running', 'finished', 'failed', 'stopped')),
    exit smallint,
    reason text,
    attempts integer NOT NULL DEFAULT 1,
    recoveries jsonb NOT NULL DEFAULT '{}',
    sync_id bigint,
    rows_read bigint,
    rows_written bigint,
    rows_unchanged bigint,
    rows_stale bigint,
    rows_rejected bigint,
    seconds double precision,
    peak_memory bigint,
    UNIQUE (run, name, mode)
)

-- name: indexed
-- Whether what is asked again and again is found by an index, or the role may make none.
SELECT to_regclass('paralelo.run_by_name') IS NOT NULL AND to_regclass('paralelo.run_by_table') IS NOT NULL
       AND (to_regclass('paralelo.sync') IS NULL OR to_regclass('paralelo.sync_by_mode') IS NOT NULL)
    OR NOT (SELECT bool_and(pg_catalog.pg_has_role(relowner, 'USAGE')) FROM pg_catalog.pg_class
            WHERE oid IN (to_regclass('paralelo.run'), to_regclass('paralelo.sync'))) AS there

-- name: run_by_name
CREATE INDEX IF NOT EXISTS run_by_name ON paralelo.run (name, mode, began_at)

-- name: run_by_table
CREATE INDEX IF NOT EXISTS run_by_table ON paralelo.run (table_schema, table_name, mode, began_at)

-- name: sync_by_mode
CREATE INDEX IF NOT EXISTS sync_by_mode ON paralelo.sync (table_schema, table_name, mode, id)

-- name: begin
INSERT INTO paralelo.run (run, name, table_schema, table_name, mode, job, environment, host)
VALUES (%(run)s, %(name)s, %(table_schema)s, %(table_name)s, %(mode)s, %(job)s, %(environment)s, %(host)s)
ON CONFLICT (run, name, mode) DO NOTHING

-- name: attempt
UPDATE paralelo.run SET attempts = %(attempts)s, recoveries = %(recoveries)s, reason = %(reason)s
WHERE run = %(run)s AND name = %(name)s AND mode = %(mode)s

-- name: end
UPDATE paralelo.run
SET ended_at = now(), outcome = %(outcome)s, exit = %(exit)s, reason = %(reason)s, attempts = %(attempts)s,
    recoveries = %(recoveries)s, sync_id = %(sync_id)s, rows_read = %(rows_read)s, rows_written = %(rows_written)s,
    rows_unchanged = %(rows_unchanged)s, rows_stale = %(rows_stale)s, rows_rejected = %(rows_rejected)s,
    seconds = %(seconds)s, peak_memory = %(peak_memory)s
WHERE run = %(run)s AND name = %(name)s AND mode = %(mode)s

-- name: forget_schema
DELETE FROM paralelo.run WHERE table_schema = %(schema)s

-- name: bury
UPDATE paralelo.run SET ended_at = now(), outcome = 'failed', exit = 1, reason = %(reason)s
WHERE run = ANY (%(runs)s) AND outcome = 'running'

-- name: forget_old
DELETE FROM paralelo.run WHERE began_at < now() - make_interval(days => %(days)s)

-- name: list
-- Supervised runs, and the syncs that some other hand started (a schedule that runs Meltano itself): of these, those alone
-- that are young enough to be shown beside the runs. One belongs to a run that had begun, not longer than 30 days before.
WITH runs AS (
    SELECT run, name, table_schema, table_name, mode, began_at, ended_at, outcome, exit, reason, attempts, recoveries,
           rows_read, rows_written, rows_unchanged, rows_stale, rows_rejected, seconds, peak_memory
    FROM paralelo.run
    WHERE (%(name)s::text IS NULL OR name = %(name)s) AND (%(mode)s::text IS NULL OR mode = %(mode)s)
    ORDER BY began_at DESC, name
    LIMIT %(limit)s)
SELECT * FROM (
    SELECT * FROM runs
    UNION ALL
    SELECT NULL, replace(s.table_name, '_', '-'), s.table_schema, s.table_name, s.mode, s.created_at, s.ended_at,
           CASE s.status WHEN 'activated' THEN 'finished' WHEN 'abandoned' THEN 'failed'
                         WHEN 'staging' THEN 'unfinished' WHEN 'running' THEN 'unfinished' ELSE s.status END,
           NULL, NULL, NULL, NULL, s.rows_read, s.rows_written, s.rows_unchanged, s.rows_stale, s.rows_rejected,
           extract(epoch FROM coalesce(s.ended_at, s.updated_at) - s.created_at)::double precision, NULL
    FROM paralelo.sync AS s
    WHERE (%(name)s::text IS NULL OR replace(s.table_name, '_', '-') = %(name)s)
      AND (%(mode)s::text IS NULL OR s.mode = %(mode)s)
      AND s.created_at >= (SELECT CASE WHEN count(*) < %(limit)s THEN '-infinity' ELSE min(began_at) END FROM runs)
      AND (SELECT r.id FROM paralelo.run AS r
           WHERE (r.table_schema, r.table_name, r.mode) = (s.table_schema, s.table_name, s.mode)
             AND r.began_at BETWEEN s.created_at - interval '30 days' AND s.updated_at
             AND s.created_at <= coalesce(r.ended_at, 'infinity')
           ORDER BY r.began_at DESC LIMIT 1) IS NULL
) AS everything
ORDER BY began_at DESC, name
LIMIT %(limit)s

-- name: list_runs
-- The same where no sync has ever written a ledger.
SELECT run, name, table_schema, table_name, mode, began_at, ended_at, outcome, exit, reason, attempts, recoveries,
       rows_read, rows_written, rows_unchanged, rows_stale, rows_rejected, seconds, peak_memory
FROM paralelo.run
WHERE (%(name)s::text IS NULL OR name = %(name)s) AND (%(mode)s::text IS NULL OR mode = %(mode)s)
ORDER BY began_at DESC, name
LIMIT %(limit)s

-- name: recoveries
-- Counted over all that is remembered, so that a counter does not fall when a run ends.
SELECT r.name, r.mode, e.key AS reason, sum(e.value::bigint)::bigint AS count
FROM (SELECT * FROM paralelo.run WHERE recoveries <> '{}') AS r CROSS JOIN LATERAL jsonb_each_text(r.recoveries) AS e
GROUP BY r.name, r.mode, e.key

-- name: pace
-- The rates of finished runs big enough to tell, the newest first.
SELECT rows_read, rows_read / seconds AS rate
FROM paralelo.run
WHERE name = %(name)s AND mode = %(mode)s AND outcome = 'finished' AND attempts = 1 AND seconds > 0
  AND rows_read >= %(least_rows)s AND (%(except_run)s::text IS NULL OR run <> %(except_run)s)
ORDER BY began_at DESC
LIMIT %(limit)s
