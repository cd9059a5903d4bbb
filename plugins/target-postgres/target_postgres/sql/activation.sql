-- How a staged version takes effect. Aliases: s is the staging table, t the live one.

-- name: room_to_work
SELECT set_config(name, wanted, true)
FROM (VALUES ('work_mem', '65536'), ('maintenance_work_mem', '262144')) AS w (name, wanted)
JOIN pg_catalog.pg_settings AS p USING (name)
WHERE p.setting::bigint < wanted::bigint

-- name: transaction
SELECT pg_current_xact_id()::text

-- name: carry_changed
-- An incremental sync wrote this row after the version began, from a newer state of the source.
UPDATE {staging} AS s SET {assignments}
FROM {live} AS t
WHERE {match} AND {newer}

-- name: compare
SELECT sum(inserted)::bigint, sum(updated)::bigint, sum(missing)::bigint FROM ({ranges}) AS r

-- name: compare_range
-- Each side's values become one record before the join: a join's rows may have 1,664 columns, those of two tables more.
SELECT count(*) FILTER (WHERE t.paralelo_place IS NULL) AS inserted,
       count(*) FILTER (WHERE t.paralelo_place IS NOT NULL AND s.paralelo_place IS NOT NULL
                        AND s.paralelo_image OPERATOR(pg_catalog.*<>) t.paralelo_image) AS updated,
       count(*) FILTER (WHERE s.paralelo_place IS NULL) AS missing
FROM (SELECT {staging_key}, s.ctid AS paralelo_place, ROW({staging_values})::record AS paralelo_image
      FROM {staging} AS s WHERE {staging_range}) AS s
FULL JOIN (SELECT {live_key}, t.ctid AS paralelo_place, ROW({live_values})::record AS paralelo_image
           FROM {live} AS t WHERE {live_range}) AS t ON {match}

-- name: histogram
SELECT histogram_bounds::text::text[] FROM pg_catalog.pg_stats
WHERE schemaname = %(schema)s AND tablename = %(table)s AND attname = %(column)s AND NOT inherited

-- name: carry_missing
-- An incremental sync inserted this row after the version began: above the highest key, or behind the page being read.
INSERT INTO {staging} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {live_columns} FROM {live} AS t
WHERE {protected} AND NOT EXISTS (SELECT FROM {staging} AS s WHERE {match})

-- name: keep_stale
INSERT INTO {staging} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {live_columns} FROM {live} AS t
WHERE NOT EXISTS (SELECT FROM {staging} AS s WHERE {match})

-- name: count_stale
SELECT count(*) FROM {live} AS t
WHERE NOT EXISTS (SELECT FROM {staging} AS s WHERE {match})

-- name: delete_stale
DELETE FROM {live} AS t
WHERE NOT EXISTS (SELECT FROM {staging} AS s WHERE {match})

-- name: delete_repeated
-- Of live rows that share a key of the source's, which no index kept apart, one stays. Each partition has places of its own.
DELETE FROM {live} AS t
USING (SELECT tableoid AS part, ctid AS place, row_number() OVER (PARTITION BY {keys}) AS rank FROM {live}) AS r
WHERE t.tableoid = r.part AND t.ctid = r.place AND r.rank > 1 AND EXISTS (SELECT FROM {staging} AS s WHERE {match})

-- name: flag_stale
UPDATE {live} AS t SET {column} = {value}
WHERE NOT EXISTS (SELECT FROM {staging} AS s WHERE {match})
  AND t.{column} IS DISTINCT FROM {value}

-- name: unflag
UPDATE {live} AS t SET {column} = DEFAULT
FROM {staging} AS s
WHERE {match} AND t.{column} IS NOT DISTINCT FROM {value}

-- name: written_since
-- The id of the row's transaction is not older than that of the transaction that began the version. An age far below
-- zero is that of a row frozen more than 2^31 transactions ago; those of transactions under way are a little below.
(age(t.xmin) BETWEEN -1000000 AND age({begin}::text::xid8::xid))

-- name: incremental_since
EXISTS (SELECT FROM paralelo.sync AS f JOIN paralelo.sync AS i USING (table_schema, table_name)
        WHERE f.id = {sync} AND i.mode = 'incremental' AND (i.updated_at >= f.created_at OR i.begin_xid >= f.begin_xid))

-- name: newer_live
-- Of two rows with one stamp (a whole day has one, where the cursor is a date) the one written later was read later; so
-- was one whose stamp is no further below than a clock falls: what it lacks is the next incremental sync's.
(coalesce(t.{c} > s.{c} OR (t.{c} >= s.{c}{fall} AND age(t.xmin) < age(s.xmin)),
          t.{c} IS NOT NULL AND s.{c} IS NULL AND age(t.xmin) < age(s.xmin))
 AND {since})

-- name: protected
({since} OR EXISTS (SELECT FROM paralelo.reject AS r WHERE r.sync_id = {sync} AND {match}))

-- name: unlogged
SELECT relpersistence = 'u' FROM pg_catalog.pg_class WHERE oid = {table}::text::regclass

-- name: own_indexes
SELECT ci.relname, con.conname
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS ci ON ci.oid = i.indexrelid
LEFT JOIN pg_catalog.pg_constraint AS con ON con.conindid = i.indexrelid AND con.conrelid = i.indrelid
WHERE i.indrelid = %(oid)s

-- name: indexes
-- The live table's indexes, in the order they were made, each with what follows `CREATE INDEX ... ON ...`.
SELECT ci.relname AS name,
       i.indisunique AS is_unique,
       -- A key WITHOUT OVERLAPS (PostgreSQL 18) is made as an exclusion constraint is: by its definition.
       CASE WHEN i.indisexclusion THEN 'x' ELSE con.contype::text END AS constraint_type,
       pg_catalog.pg_get_constraintdef(con.oid) AS constraint_definition,
       CASE WHEN con.condeferrable THEN
            CASE WHEN con.condeferred THEN 'DEFERRABLE INITIALLY DEFERRED' ELSE 'DEFERRABLE' END ELSE '' END AS deferring,
       substr(pg_catalog.pg_get_indexdef(i.indexrelid),
              length(format('CREATE %%sINDEX %%I ON %%I.%%I ', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END,
                            ci.relname, n.nspname, c.relname)) + 1) AS definition,
       coalesce(ts.spcname, '') AS tablespace
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS ci ON ci.oid = i.indexrelid
JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_tablespace AS ts ON ts.oid = ci.reltablespace
LEFT JOIN pg_catalog.pg_constraint AS con
       ON con.conindid = i.indexrelid AND con.conrelid = i.indrelid AND con.contype IN ('p', 'u', 'x')
WHERE i.indrelid = %(oid)s AND i.indisvalid
ORDER BY i.indexrelid

-- name: sequences
-- Sequences that columns of the live table own: identity columns have one inside, serial columns one beside them.
SELECT sn.nspname, s.relname, a.attname, a.attidentity <> '' AS identity
FROM pg_catalog.pg_depend AS d
JOIN pg_catalog.pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_catalog.pg_namespace AS sn ON sn.oid = s.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
  AND d.refobjid = %(oid)s AND d.deptype IN ('a', 'i')
