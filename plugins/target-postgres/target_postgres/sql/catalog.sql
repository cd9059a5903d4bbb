-- What the target asks PostgreSQL about a table.

-- name: relation
SELECT c.oid,
       c.relkind::text AS kind,
       c.relpersistence::text AS persistence,
       pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owned,
       pg_catalog.row_security_active(c.oid) AS rows_hidden
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(table)s

-- name: columns
SELECT a.attname AS name,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
       a.attnotnull AS not_null,
       a.attgenerated <> '' AS generated,
       a.attidentity <> '' AS identity,
       a.atthasdef AS has_default,
       CASE WHEN a.attcollation <> t.typcollation THEN
            (SELECT format('%%I.%%I', n.nspname, l.collname)
             FROM pg_catalog.pg_collation AS l JOIN pg_catalog.pg_namespace AS n ON n.oid = l.collnamespace
             WHERE l.oid = a.attcollation) END AS collation,
       a.attidentity = 'a' AS identity_always,
       a.attidentity <> '' OR a.attinhcount > 0 OR EXISTS (
           SELECT FROM pg_catalog.pg_index AS i
           WHERE i.indrelid = a.attrelid AND (i.indisprimary OR i.indisreplident) AND a.attnum = ANY (i.indkey)
       ) AS stays_filled,
       EXISTS (
           SELECT FROM pg_catalog.pg_collation AS l WHERE l.oid = a.attcollation AND NOT l.collisdeterministic
       ) AS loose
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum

-- name: unique_keys
-- Whole-table unique indexes over plain columns, checked at once: those an upsert can rely on.
SELECT array_agg(a.attname::text ORDER BY a.attname) AS columns
FROM pg_catalog.pg_index AS i
CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, position)
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = %(oid)s AND i.indisunique AND i.indisvalid AND i.indimmediate
  AND i.indpred IS NULL AND i.indexprs IS NULL AND k.position <= i.indnkeyatts
GROUP BY i.indexrelid

-- name: storage
-- Of a partitioned table its partitions'.
SELECT pg_catalog.pg_relation_filenode(%(name)s::text::regclass),
       (SELECT array_agg(pg_catalog.pg_relation_filenode(relid) ORDER BY relid)
        FROM pg_catalog.pg_partition_tree(%(name)s::text::regclass))

-- name: tablespace
-- Where the rows are, if another table may be made there. One that names no place is in its database's.
SELECT s.spcname
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_database AS d ON d.datname = current_database()
JOIN pg_catalog.pg_tablespace AS s ON s.oid = coalesce(nullif(c.reltablespace, 0), d.dattablespace)
WHERE c.oid = %(name)s::text::regclass
  AND (s.oid = d.dattablespace OR pg_catalog.has_tablespace_privilege(s.oid, 'CREATE'))

-- name: access_method
SELECT m.amname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
WHERE c.oid = %(name)s::text::regclass

-- name: is_published
-- A publication FOR ALL TABLES or of the whole schema would send a staging table's rows on, too.
SELECT EXISTS (SELECT FROM pg_catalog.pg_publication WHERE puballtables)
    OR EXISTS (SELECT FROM pg_catalog.pg_publication_namespace AS p
               JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pnnspid WHERE n.nspname = %(schema)s)

-- name: is_sent
SELECT EXISTS (SELECT FROM pg_catalog.pg_publication_tables WHERE schemaname = %(schema)s AND tablename = %(table)s)

-- name: schema_exists
SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = %(schema)s)
