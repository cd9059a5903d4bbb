-- What the ledger in the target database says of each sync. Reads only.

-- name: ledger_exists
SELECT to_regclass('paralelo.sync') IS NOT NULL AND to_regclass('paralelo.batch') IS NOT NULL AS there

-- name: clock
SELECT clock_timestamp() AS now

-- name: newest
-- The newest sync of each table and mode. A full sync's rows are counted from its batches; an incremental one writes
-- its running count into its own row. `rows_before` is what was committed when the window began, `rows_earlier` what
-- was committed before this run began: a resumed sync has both.
SELECT s.id,
       s.table_schema,
       s.table_name,
       s.mode,
       s.status,
       s.version,
       s.estimate,
       s.prepared_at IS NOT NULL AS prepared,
       coalesce(nullif(b.rows, 0), s.rows_read) AS committed,
       b.rows_before,
       b.rows_earlier,
       s.rows_written AS written,
       s.rows_inserted AS inserted,
       s.rows_updated AS updated,
       s.rows_unchanged AS unchanged,
       s.rows_stale AS stale,
       s.rows_rejected AS rejected,
       s.started_at,
       s.created_at,
       s.updated_at,
       s.ended_at,
       coalesce(b.last_commit, CASE WHEN s.rows_read > 0 THEN s.updated_at END) AS last_commit,
       b.batches,
       clock_timestamp() AS now
FROM (SELECT DISTINCT ON (table_schema, table_name, mode) *
      FROM paralelo.sync
      WHERE mode = ANY (%(modes)s)
      ORDER BY table_schema, table_name, mode, id DESC) AS s
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
SELECT table_schema, table_name, max(started_at) AS covered_until, max(ended_at) AS last_success,
       clock_timestamp() AS now
FROM paralelo.sync
WHERE status IN ('activated', 'finished') AND mode IN ('full', 'incremental')
GROUP BY table_schema, table_name
