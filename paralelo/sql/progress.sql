-- What the ledger in the target database says of each sync. Reads only.

-- name: ledger_exists
SELECT to_regclass('paralelo.sync') IS NOT NULL AND to_regclass('paralelo.batch') IS NOT NULL AS there

-- name: clock
SELECT clock_timestamp() AS now

-- name: tables
-- The tables of a ledger that may have a million entries, from one to the next by the index.
(SELECT table_schema, table_name FROM paralelo.sync ORDER BY table_schema, table_name LIMIT 1)
UNION ALL
SELECT n.* FROM tables AS t CROSS JOIN LATERAL (
    SELECT x.table_schema, x.table_name FROM paralelo.sync AS x
    WHERE (x.table_schema, x.table_name) > (t.table_schema, t.table_name)
    ORDER BY x.table_schema, x.table_name LIMIT 1) AS n

-- name: newest
-- The newest sync of each table and mode. A full sync's rows are counted from its batches; an incremental one writes
-- its running counts into its own row, and each attempt is a sync of its own: those that began since `since` are summed.
-- `rows_before` is what was committed when the window began, `rows_earlier` what was committed before this run began: a
-- resumed sync has both.
-- Asked every second: of each table the newest alone. A run has 101 attempts at most.
WITH RECURSIVE tables AS ({tables})
SELECT s.id,
       s.table_schema,
       s.table_name,
       s.mode,
       s.status,
       s.version,
       s.estimate,
       s.prepared_at IS NOT NULL AS prepared,
       coalesce(nullif(b.rows, 0), t.rows_read) AS committed,
       b.rows_before,
       b.rows_earlier,
       t.rows_written AS written,
       t.rows_inserted AS inserted,
       t.rows_updated AS updated,
       t.rows_unchanged AS unchanged,
       t.rows_stale AS stale,
       t.rows_rejected AS rejected,
       s.started_at,
       s.created_at,
       s.updated_at,
       s.ended_at,
       coalesce(b.last_commit, CASE WHEN s.rows_read > 0 THEN s.updated_at END) AS last_commit,
       b.batches,
       clock_timestamp() AS now
FROM tables AS n
CROSS JOIN unnest(%(modes)s::text[]) AS m (mode)
CROSS JOIN LATERAL (
    SELECT * FROM paralelo.sync AS x
    WHERE x.table_schema = n.table_schema AND x.table_name = n.table_name AND x.mode = m.mode
    ORDER BY x.id DESC LIMIT 1) AS s
CROSS JOIN LATERAL (
    SELECT sum(a.rows_read)::bigint AS rows_read,
           sum(a.rows_written)::bigint AS rows_written,
           sum(a.rows_inserted)::bigint AS rows_inserted,
           sum(a.rows_updated)::bigint AS rows_updated,
           sum(a.rows_unchanged)::bigint AS rows_unchanged,
           sum(a.rows_stale)::bigint AS rows_stale,
           sum(a.rows_rejected)::bigint AS rows_rejected
    FROM (SELECT * FROM paralelo.sync AS x
          WHERE x.table_schema = s.table_schema AND x.table_name = s.table_name AND x.mode = s.mode
          ORDER BY x.id DESC LIMIT 200) AS a
    WHERE a.id = s.id OR (s.mode <> 'full' AND a.created_at >= %(since)s::timestamptz)) AS t
CROSS JOIN LATERAL (
    SELECT count(*) AS batches,
           sum(rows)::bigint AS rows,
           CASE WHEN count(*) > 0
                THEN coalesce(sum(rows) FILTER (WHERE committed_at < clock_timestamp() - %(window)s), 0)::bigint
           END AS rows_before,
           coalesce(sum(rows) FILTER (WHERE committed_at < %(since)s), 0)::bigint AS rows_earlier,
           max(committed_at) AS last_commit
    FROM paralelo.batch
    WHERE sync_id = s.id) AS b
ORDER BY s.table_schema, s.table_name, s.mode

-- name: covered_until
-- The source's clock up to which each table is known to be in the target: when its newest whole sync began.
WITH RECURSIVE tables AS ({tables})
SELECT n.table_schema, n.table_name, max(s.started_at) AS covered_until, max(s.ended_at) AS last_success,
       clock_timestamp() AS now
FROM tables AS n
CROSS JOIN (VALUES ('full'), ('incremental')) AS m (mode)
CROSS JOIN LATERAL (
    SELECT x.started_at, x.ended_at FROM paralelo.sync AS x
    WHERE x.table_schema = n.table_schema AND x.table_name = n.table_name AND x.mode = m.mode
      AND x.status IN ('activated', 'finished')
    ORDER BY x.id DESC LIMIT 1) AS s
GROUP BY n.table_schema, n.table_name

-- name: size
-- Bytes of the live table and of its staging tables.
SELECT sum(pg_total_relation_size(c.oid))::bigint AS bytes
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p')
  AND (c.relname = %(table)s
       OR c.relname IN (SELECT staging_table FROM paralelo.sync
                        WHERE table_schema = %(schema)s AND table_name = %(table)s AND status = 'staging'))

-- name: commits
-- When each batch of the table's newest full sync was committed.
SELECT b.batch, b.rows, b.committed_at
FROM paralelo.batch AS b
WHERE b.sync_id = (SELECT max(id) FROM paralelo.sync
                   WHERE table_schema = %(schema)s AND table_name = %(table)s AND mode = 'full')
ORDER BY b.batch

-- name: forget_schema
DELETE FROM paralelo.sync WHERE table_schema = %(schema)s
