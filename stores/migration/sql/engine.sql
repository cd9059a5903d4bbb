-- name: judge
-- Every row of the source as the mapping sees it, with the ids it will get. Rows that the ledger has are left out at
-- the end, not at the start: a mapping may count over all of them. MATERIALIZED: it is worked out once, not for each row
-- that it is joined to.
CREATE TEMPORARY TABLE judged ON COMMIT DROP AS
WITH source AS (
    SELECT s._rowid, paralelo_stores.as_row(row_to_json(s.*)) AS r, md5(row_to_json(s.*)::text) AS row_hash FROM {source} AS s
), mapped AS MATERIALIZED (
    {mapping}
)
SELECT m.*, s.row_hash, s.r AS _row, NULL::bigint AS _id, paralelo_stores.binary_in(s.r) AS _binary
FROM mapped AS m JOIN source AS s USING (_rowid)
WHERE NOT EXISTS (
    SELECT FROM paralelo_stores.migrated_row AS l
    WHERE l.store = %(store)s AND l.source_table = %(table)s AND l.source_rowid = m._rowid
);

-- name: reject_binary
UPDATE judged SET _reason = concat_ws('; ', _reason, _binary) WHERE _binary IS NOT NULL;

-- name: indexed
-- The texts that a target's ordered indexes hold.
SELECT DISTINCT pg_get_indexdef(i.indexrelid, a.attnum, true)
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_am AS m ON m.oid = c.relam AND m.amname = 'btree'
JOIN pg_attribute AS a ON a.attrelid = i.indexrelid AND a.atttypid = 'text'::regtype
WHERE i.indrelid = %(target)s::regclass
ORDER BY 1;

-- name: reject_long
-- PostgreSQL refuses a row that takes more than a third of a page in an index: a thousand bytes for each of two columns
-- fit.
UPDATE judged SET _reason = concat_ws('; ', _reason, %(what)s::text || ' is too long to be indexed')
WHERE octet_length({expression}) > 1000;

-- name: reject_repeated
-- Of rows that are one by the target's key the last one written stays, as the old class's reader would have found it.
UPDATE judged AS j SET _reason = 'repeats ' || %(unique)s || '; row ' || last._rowid || ' is kept'
FROM (SELECT {columns}, max(_rowid) AS _rowid FROM judged WHERE _reason IS NULL GROUP BY {columns}) AS last
WHERE j._reason IS NULL AND j._rowid <> last._rowid AND {same_last};

-- name: reject_taken
UPDATE judged AS j SET _reason = 'the target has a row of this ' || %(unique)s || ' already'
WHERE j._reason IS NULL AND EXISTS (SELECT FROM {target} AS t WHERE {same_target});

-- name: number_rows
-- One id for each row, or for each group of rows that become one. MATERIALIZED: a join may run its inside twice, and
-- would take two numbers.
WITH n AS MATERIALIZED (
    SELECT g._part, nextval(pg_get_serial_sequence(%(target)s, 'id')) AS id
    FROM (SELECT {part} AS _part FROM judged WHERE _reason IS NULL GROUP BY {part} ORDER BY min(_rowid), {part}) AS g
)
UPDATE judged AS j SET _id = n.id FROM n WHERE j._reason IS NULL AND n._part = {part_of_j};

-- name: write
INSERT INTO {target} (id, {columns}) SELECT DISTINCT ON (_id) _id, {columns} FROM judged WHERE _id IS NOT NULL ORDER BY _id;

-- name: note_mapped
INSERT INTO paralelo_stores.migrated_row
    (store, source_table, source_rowid, outcome, target, target_ids, reason, row_hash)
SELECT %(store)s, %(table)s, _rowid, CASE WHEN min(_reason) IS NULL THEN 'mapped' ELSE 'rejected' END,
    CASE WHEN min(_reason) IS NULL THEN %(target)s END,
    CASE WHEN min(_reason) IS NULL THEN array_agg(_id ORDER BY _id) END,
    coalesce(min(_reason), min(_note)), min(row_hash)
FROM judged GROUP BY _rowid;

-- name: keep_rejected
INSERT INTO archive.rejected_rows (store, source_table, source_rowid, reason, row_data)
SELECT DISTINCT ON (_rowid) %(store)s, %(table)s, _rowid, _reason, _row FROM judged WHERE _reason IS NOT NULL
ORDER BY _rowid;

-- name: archive
INSERT INTO {archive} ({names}) SELECT {columns} FROM {source} AS s
WHERE NOT EXISTS (
    SELECT FROM paralelo_stores.migrated_row AS l
    WHERE l.store = %(store)s AND l.source_table = %(table)s AND l.source_rowid = s._rowid
);

-- name: note_archived
INSERT INTO paralelo_stores.migrated_row (store, source_table, source_rowid, outcome, target, row_hash)
SELECT %(store)s, %(table)s, s._rowid, 'archived', %(target)s, md5(row_to_json(s.*)::text) FROM {source} AS s
ON CONFLICT DO NOTHING;

-- name: compare
-- The mapping worked out again, against what the target holds. Differences per source row.
WITH source AS (
    SELECT s._rowid, paralelo_stores.as_row(row_to_json(s.*)) AS r FROM {source} AS s
), mapped AS MATERIALIZED (
    {mapping}
), wanted AS (
    SELECT m._rowid, l.target_ids, to_jsonb(ROW({columns_of_m})) AS wanted
    FROM mapped AS m JOIN paralelo_stores.migrated_row AS l
        ON l.store = %(store)s AND l.source_table = %(table)s AND l.source_rowid = m._rowid AND l.outcome = 'mapped'
)
SELECT count(*) AS compared,
    count(*) FILTER (WHERE NOT EXISTS (
        SELECT FROM {target} AS t WHERE t.id = ANY (w.target_ids) AND to_jsonb(ROW({columns_of_t})) = w.wanted)) AS different
FROM wanted AS w;

-- name: compare_rejected
-- Rejected rows against what is kept of them.
SELECT count(*) AS compared,
    count(*) FILTER (WHERE NOT EXISTS (
        SELECT FROM archive.rejected_rows AS k
        WHERE k.store = l.store AND k.source_table = l.source_table AND k.source_rowid = l.source_rowid
            AND k.row_data = paralelo_stores.as_row(row_to_json(s.*)))) AS different
FROM paralelo_stores.migrated_row AS l JOIN {source} AS s ON s._rowid = l.source_rowid
WHERE l.store = %(store)s AND l.source_table = %(table)s AND l.outcome = 'rejected';

-- name: compare_archived
-- The landing table against the archive.
SELECT count(*) AS compared,
    count(*) FILTER (WHERE NOT EXISTS (
        SELECT FROM {archive} AS a
        WHERE a._rowid = s._rowid AND md5(row_to_json(a.*)::text) = md5(row_to_json(s.*)::text))) AS different
FROM paralelo_stores.migrated_row AS l JOIN {source} AS s ON s._rowid = l.source_rowid
WHERE l.store = %(store)s AND l.source_table = %(table)s AND l.outcome = 'archived';
