-- The ledger: what of which version is in the database. Rows and their ledger entry are one transaction.

-- name: exists
SELECT to_regclass('paralelo.sync') IS NOT NULL
   AND to_regclass('paralelo.batch') IS NOT NULL
   AND to_regclass('paralelo.reject') IS NOT NULL

-- name: serialise_creation
-- Two targets that start at once would both find no ledger, or no schema, and one of them would fail to create it.
SELECT pg_advisory_xact_lock(hashtextextended('paralelo:ledger', 0))

-- name: create_schema
CREATE SCHEMA IF NOT EXISTS paralelo

-- name: create_sync
CREATE TABLE IF NOT EXISTS paralelo.sync (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_schema text NOT NULL,
    table_name text NOT NULL,
    stream text NOT NULL,
    mode text NOT NULL CHECK (mode IN ('full', 'incremental', 'records')),
    version bigint,
    staging_table text,
    started_at timestamptz,
    key_columns text[] NOT NULL DEFAULT '{{}}',
    columns jsonb,
    estimate bigint,
    begin_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    status text NOT NULL CHECK (status IN ('staging', 'activated', 'abandoned', 'running', 'finished')),
    activation text,
    rows_read bigint NOT NULL DEFAULT 0,
    rows_written bigint NOT NULL DEFAULT 0,
    rows_inserted bigint,
    rows_updated bigint,
    rows_unchanged bigint,
    rows_stale bigint,
    rows_carried bigint,
    rows_rejected bigint NOT NULL DEFAULT 0,
    nul_replaced bigint NOT NULL DEFAULT 0,
    digits_truncated bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    prepared_at timestamptz,
    ended_at timestamptz,
    UNIQUE (table_schema, table_name, version)
)

-- name: index_sync
-- Of each table and mode the newest are looked at every second while something runs.
CREATE INDEX IF NOT EXISTS sync_by_mode ON paralelo.sync (table_schema, table_name, mode, id)

-- name: create_batch
-- Keys as `json`, which keeps even what `jsonb` refuses: a text key with a NUL character.
CREATE TABLE IF NOT EXISTS paralelo.batch (
    sync_id bigint NOT NULL REFERENCES paralelo.sync ON DELETE CASCADE,
    batch integer NOT NULL,
    after json,
    through json,
    rows bigint NOT NULL,
    written bigint NOT NULL,
    rejected bigint NOT NULL,
    nul_replaced bigint NOT NULL DEFAULT 0,
    digits_truncated bigint NOT NULL DEFAULT 0,
    xact_id xid8 NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sync_id, batch)
)

-- name: create_reject
CREATE TABLE IF NOT EXISTS paralelo.reject (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sync_id bigint REFERENCES paralelo.sync ON DELETE CASCADE,
    batch integer,
    table_schema text NOT NULL,
    table_name text NOT NULL,
    key_values json,
    reason text NOT NULL,
    row_values json,
    rejected_at timestamptz NOT NULL DEFAULT now()
)

-- name: find_version
SELECT id, version, staging_table, started_at, key_columns, status, begin_xid::text AS begin_xid,
       prepared_at IS NOT NULL AS prepared, begin_xid > pg_current_xact_id() AS foreign
FROM paralelo.sync
WHERE table_schema = %(schema)s AND table_name = %(table)s AND version = %(version)s

-- name: stream_of
SELECT stream FROM paralelo.sync
WHERE table_schema = %(schema)s AND table_name = %(table)s AND mode <> 'records' AND to_regclass(%(name)s) IS NOT NULL
  AND status IN ('activated', 'finished', 'running')
ORDER BY id DESC LIMIT 1

-- name: filled
-- Whether the last full sync of the stream that took effect left rows in the table.
SELECT rows_written > 0 FROM paralelo.sync
WHERE table_schema = %(schema)s AND table_name = %(table)s AND mode = 'full' AND status = 'activated'
  AND lower(stream) = lower(%(stream)s)
ORDER BY id DESC LIMIT 1

-- name: held_since
-- Whether a sync of the stream that began then or later has been here, a full one that is not finished included: else the
-- database is an older copy, or another one. And how much of it: a standby that took over may lack the last commits.
SELECT count(*) > 0,
       coalesce(bool_or(started_at > %(since)s::timestamptz), false),
       coalesce(sum(rows_read) FILTER (WHERE started_at = %(since)s::timestamptz), 0)::bigint,
       coalesce(bool_or(status = 'activated'), false)
FROM paralelo.sync
WHERE table_schema = %(schema)s AND table_name = %(table)s AND lower(stream) = lower(%(stream)s)
  AND started_at >= %(since)s::timestamptz

-- name: abandon_unfinished
UPDATE paralelo.sync SET status = 'abandoned', ended_at = now(), updated_at = now()
WHERE table_schema = %(schema)s AND table_name = %(table)s AND status = 'staging'

-- name: left_over
SELECT s.staging_table
FROM paralelo.sync AS s
JOIN pg_catalog.pg_class AS c ON c.relname = s.staging_table
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = s.table_schema
WHERE s.table_schema = %(schema)s AND s.table_name = %(table)s AND s.status IN ('activated', 'abandoned')

-- name: begin
-- An incremental sync may have come and gone between the tap's first look at the source and this. What it wrote counts as
-- written since the version began: so the version begins with the first transaction of such a sync. A source's clock may tell
-- whole seconds only.
INSERT INTO paralelo.sync
    (table_schema, table_name, stream, mode, version, staging_table, started_at, key_columns, columns, estimate, status,
     begin_xid)
VALUES
    (%(schema)s, %(table)s, %(stream)s, %(mode)s, %(version)s, %(staging)s, %(started_at)s, %(keys)s, %(columns)s,
     %(estimate)s, %(status)s,
     coalesce((SELECT s.begin_xid FROM paralelo.sync AS s
               WHERE %(mode)s = 'full' AND s.table_schema = %(schema)s AND s.table_name = %(table)s
                 AND s.mode = 'incremental' AND s.started_at >= %(started_at)s
               ORDER BY s.begin_xid LIMIT 1),
              pg_current_xact_id()))
RETURNING id, begin_xid::text AS begin_xid

-- name: batches
SELECT batch, after, through, rows, rejected, xact_id::text AS xact_id
FROM paralelo.batch WHERE sync_id = %(sync)s ORDER BY batch

-- name: add_batch
INSERT INTO paralelo.batch
    (sync_id, batch, after, through, rows, written, rejected, nul_replaced, digits_truncated, xact_id)
VALUES
    (%(sync)s, %(batch)s, %(after)s, %(through)s, %(rows)s, %(written)s, %(rejected)s, %(nul_replaced)s,
     %(digits_truncated)s, pg_current_xact_id())
RETURNING xact_id::text

-- name: remove_batches
DELETE FROM paralelo.batch WHERE sync_id = %(sync)s AND batch >= %(batch)s

-- name: remove_rejects
DELETE FROM paralelo.reject WHERE sync_id = %(sync)s AND batch >= %(batch)s

-- name: remove_staged
-- One transaction per batch and no savepoints: so a batch's rows are those with its transaction's id.
DELETE FROM {staging} WHERE xmin = ANY ({xacts}::text[]::xid8[]::xid[])

-- name: totals
SELECT coalesce(sum(rows), 0)::bigint AS rows_read,
       coalesce(sum(written), 0)::bigint AS rows_written,
       coalesce(sum(rejected), 0)::bigint AS rows_rejected,
       coalesce(sum(nul_replaced), 0)::bigint AS nul_replaced,
       coalesce(sum(digits_truncated), 0)::bigint AS digits_truncated
FROM paralelo.batch WHERE sync_id = %(sync)s

-- name: update_counts
UPDATE paralelo.sync
SET (rows_read, rows_written, rows_rejected, nul_replaced, digits_truncated, updated_at) =
    (%(rows_read)s, %(rows_written)s, %(rows_rejected)s, %(nul_replaced)s, %(digits_truncated)s, now())
WHERE id = %(sync)s

-- name: update_outcome
UPDATE paralelo.sync
SET (rows_inserted, rows_updated, rows_unchanged, rows_stale, rows_carried, updated_at) =
    (%(inserted)s, %(updated)s, %(unchanged)s, %(stale)s, %(carried)s, now())
WHERE id = %(sync)s

-- name: outcome
SELECT rows_inserted AS inserted, rows_updated AS updated, rows_unchanged AS unchanged,
       rows_stale AS stale, rows_carried AS carried
FROM paralelo.sync WHERE id = %(sync)s

-- name: mark_prepared
UPDATE paralelo.sync SET prepared_at = now(), updated_at = now() WHERE id = %(sync)s

-- name: mark_ended
UPDATE paralelo.sync
SET status = %(status)s, activation = %(activation)s, ended_at = now(), updated_at = now()
WHERE id = %(sync)s

-- name: add_reject
INSERT INTO paralelo.reject (sync_id, batch, table_schema, table_name, key_values, reason, row_values)
VALUES (%(sync)s, %(batch)s, %(schema)s, %(table)s, %(key)s, %(reason)s, %(row)s)

-- name: forget_old
-- Not the last of each kind and end: what filled the live table may be older than one that never took effect. Rows that
-- `verify` mends are of no sync that another goes on from: those have no start.
DELETE FROM paralelo.sync
WHERE table_schema = %(schema)s AND table_name = %(table)s AND status <> 'staging'
  AND updated_at < now() - make_interval(days => %(days)s) AND id <> %(keep)s
  AND id NOT IN (SELECT max(id) FROM paralelo.sync
                 WHERE table_schema = %(schema)s AND table_name = %(table)s
                 GROUP BY mode, status, started_at IS NULL)
