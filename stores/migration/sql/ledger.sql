-- name: create
-- What was migrated, row by row: the truth about what is where. Kept beside Alembic's own table.
CREATE SCHEMA IF NOT EXISTS paralelo_stores;
CREATE SCHEMA IF NOT EXISTS archive;
CREATE TABLE IF NOT EXISTS paralelo_stores.migrated_store (
    store text PRIMARY KEY,
    layout text NOT NULL,
    path text NOT NULL,
    first_mapped_at timestamptz NOT NULL DEFAULT now(),
    last_mapped_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS paralelo_stores.migrated_row (
    store text NOT NULL REFERENCES paralelo_stores.migrated_store ON DELETE CASCADE,
    source_table text NOT NULL,
    source_rowid bigint NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('mapped', 'archived', 'rejected')),
    target text,
    target_ids bigint[],
    reason text,
    row_hash text NOT NULL,
    written_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (store, source_table, source_rowid)
);
CREATE TABLE IF NOT EXISTS archive.rejected_rows (
    store text NOT NULL,
    source_table text NOT NULL,
    source_rowid bigint NOT NULL,
    reason text NOT NULL,
    row_data jsonb NOT NULL,
    PRIMARY KEY (store, source_table, source_rowid)
);

-- name: store
INSERT INTO paralelo_stores.migrated_store (store, layout, path) VALUES (%(store)s, %(layout)s, %(path)s)
ON CONFLICT (store) DO UPDATE SET last_mapped_at = now(), path = excluded.path;

-- name: paths
SELECT store, path FROM paralelo_stores.migrated_store WHERE store = ANY (%(stores)s);

-- name: layouts
SELECT store, layout, path FROM paralelo_stores.migrated_store ORDER BY store;

-- name: outcomes
SELECT source_table, outcome, count(*) AS rows, count(*) FILTER (WHERE outcome = 'mapped' AND reason IS NOT NULL) AS noted
FROM paralelo_stores.migrated_row WHERE store = %(store)s GROUP BY source_table, outcome;

-- name: reasons
SELECT source_table, outcome, reason, count(*) AS rows
FROM paralelo_stores.migrated_row WHERE store = %(store)s AND reason IS NOT NULL
GROUP BY source_table, outcome, reason ORDER BY source_table, outcome, rows DESC, reason;

-- name: of_table
SELECT count(*) FROM paralelo_stores.migrated_row WHERE store = %(store)s AND source_table = %(table)s;

-- name: exists
SELECT to_regclass('paralelo_stores.migrated_row') IS NOT NULL AND EXISTS (
    SELECT FROM pg_catalog.pg_tables WHERE schemaname = 'tws' AND tablename = 'tws_events');

-- name: known
SELECT EXISTS (SELECT FROM paralelo_stores.migrated_store WHERE store = %(store)s);

-- name: gone
-- Rows of the ledger whose source row is gone, or is another than it was.
SELECT count(*) FILTER (WHERE s._rowid IS NULL) AS gone,
    count(*) FILTER (WHERE s._rowid IS NOT NULL AND md5(row_to_json(s.*)::text) <> m.row_hash) AS changed
FROM paralelo_stores.migrated_row AS m LEFT JOIN {source} AS s ON s._rowid = m.source_rowid
WHERE m.store = %(store)s AND m.source_table = %(table)s;

-- name: accounted
-- Rows that landed and are not in the ledger, and rows of the ledger that are not in the file any more.
SELECT
    (SELECT count(*) FROM {source} AS s WHERE NOT EXISTS (
        SELECT FROM paralelo_stores.migrated_row AS m
        WHERE m.store = %(store)s AND m.source_table = %(table)s AND m.source_rowid = s._rowid)) AS unaccounted,
    (SELECT count(*) FROM paralelo_stores.migrated_row AS m
     WHERE m.store = %(store)s AND m.source_table = %(table)s
         AND NOT EXISTS (SELECT FROM {source} AS s WHERE s._rowid = m.source_rowid)) AS gone;

-- name: touched
-- What was written to a target since: rows the migration wrote that are gone or changed, and new ones. A row's xmin is
-- the transaction that wrote it as it is.
SELECT
    (SELECT count(*) FROM paralelo_stores.migrated_row AS m, unnest(m.target_ids) AS id
     LEFT JOIN {target} AS t USING (id)
     WHERE m.store = %(store)s AND m.target = %(target)s AND m.outcome = 'mapped'
         AND (t.id IS NULL OR t.xmin::text::bigint <> m.written_by::text::bigint %% 4294967296)) AS changed,
    (SELECT count(*) FROM {target} AS t
     WHERE t.id > (SELECT coalesce(max(id), 0) FROM paralelo_stores.migrated_row AS m, unnest(m.target_ids) AS id
                   WHERE m.store = %(store)s AND m.target = %(target)s)
         AND NOT EXISTS (SELECT FROM paralelo_stores.migrated_row AS m, unnest(m.target_ids) AS id
                         WHERE m.target = %(target)s AND id = t.id)) AS new;

-- name: remove_mapped
DELETE FROM {target} AS t USING (
    SELECT DISTINCT unnest(target_ids) AS id FROM paralelo_stores.migrated_row
    WHERE store = %(store)s AND source_table = %(table)s AND outcome = 'mapped'
) AS m WHERE t.id = m.id;

-- name: remove_rejected
DELETE FROM archive.rejected_rows WHERE store = %(store)s;

-- name: forget
DELETE FROM paralelo_stores.migrated_store WHERE store = %(store)s;
