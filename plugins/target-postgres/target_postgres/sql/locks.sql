-- One sync of a table at a time.

-- name: try_table
SELECT pg_try_advisory_lock(hashtextextended(%(name)s, 0))

-- name: wait_for_table
SELECT pg_advisory_lock(hashtextextended(%(name)s, 0))

-- name: wait_for_work
-- Waits for the backend of a killed run, which may still be at work on its last statement.
SELECT pg_advisory_lock(hashtextextended(%(name)s, 1))

-- name: held
-- How many tables this session has the lock of.
SELECT count(*)
FROM pg_catalog.pg_locks AS l
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.pid = pg_backend_pid()

-- name: holder
SELECT a.application_name, a.pid, a.usename, to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ') AS since
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  AND ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended(%(name)s, 0)
