-- What hangs on a live table, so that another table cannot take its place unnoticed.

-- name: all
-- Everything that pg_depend hangs on the table, a sequence inside it, its row type or that type's array, except the parts
-- that a swap rebuilds: indexes, its own constraints (but no foreign key), defaults, sequences it owns, its policies and its
-- statistics.
WITH live AS (
    SELECT c.oid, c.reltype, t.typarray
    FROM pg_catalog.pg_class AS c LEFT JOIN pg_catalog.pg_type AS t ON t.oid = c.reltype
    WHERE c.oid = %(oid)s
), within AS (
    SELECT array_agg(s.oid) AS sequences
    FROM live JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = live.oid
    JOIN pg_catalog.pg_class AS s ON d.classid = 'pg_class'::regclass AND d.deptype = 'i' AND s.oid = d.objid
    WHERE s.relkind = 'S'
), hanging AS (
    SELECT DISTINCT d.classid, d.objid
    FROM pg_catalog.pg_depend AS d, live, within
    WHERE (d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (live.oid || within.sequences))
       OR (d.refclassid = 'pg_type'::regclass AND d.refobjid IN (live.reltype, live.typarray) AND d.refobjid <> 0)
)
SELECT pg_catalog.pg_describe_object(h.classid, h.objid, 0)
FROM hanging AS h, live
WHERE NOT (h.classid = 'pg_class'::regclass AND h.objid = live.oid)
  AND NOT (h.classid = 'pg_type'::regclass AND h.objid IN (live.reltype, live.typarray))
  AND NOT (h.classid = 'pg_class'::regclass AND EXISTS (
      SELECT FROM pg_catalog.pg_class AS part WHERE part.oid = h.objid AND part.relkind IN ('i', 'I', 't', 'S')))
  AND NOT (h.classid = 'pg_constraint'::regclass AND EXISTS (
      SELECT FROM pg_catalog.pg_constraint AS con
      WHERE con.oid = h.objid AND con.conrelid = live.oid AND con.contype IN ('p', 'u', 'c', 'x', 'n')))
  AND NOT (h.classid = 'pg_attrdef'::regclass AND EXISTS (
      SELECT FROM pg_catalog.pg_attrdef AS def WHERE def.oid = h.objid AND def.adrelid = live.oid))
  AND NOT (h.classid = 'pg_policy'::regclass AND EXISTS (
      SELECT FROM pg_catalog.pg_policy AS pol WHERE pol.oid = h.objid AND pol.polrelid = live.oid))
  AND NOT (h.classid = 'pg_statistic_ext'::regclass AND EXISTS (
      SELECT FROM pg_catalog.pg_statistic_ext AS stx WHERE stx.oid = h.objid AND stx.stxrelid = live.oid))
UNION
SELECT 'partitioning or inheritance' FROM pg_catalog.pg_inherits WHERE %(oid)s IN (inhrelid, inhparent)
UNION
SELECT 'partitioning' FROM pg_catalog.pg_class WHERE oid = %(oid)s AND (relkind = 'p' OR relispartition)
UNION
SELECT 'row type ' || reloftype::regtype FROM pg_catalog.pg_class WHERE oid = %(oid)s AND reloftype <> 0
UNION
SELECT 'publication ' || p.pubname
FROM pg_catalog.pg_publication_tables AS p
JOIN pg_catalog.pg_class AS c ON c.relname = p.tablename AND c.oid = %(oid)s
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = p.schemaname
UNION
-- It knows its tables by their oids, and passes over what is sent for another one without a word.
SELECT 'subscription ' || s.subname
FROM pg_catalog.pg_subscription_rel AS r JOIN pg_catalog.pg_subscription AS s ON s.oid = r.srsubid
WHERE r.srrelid = %(oid)s
UNION
SELECT 'extension ' || e.extname
FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid
WHERE d.classid = 'pg_class'::regclass AND d.objid = %(oid)s AND d.deptype = 'e'
UNION
SELECT 'no right of its owner ' || pg_get_userbyid(c.relowner) || ' to create tables in its schema'
FROM pg_catalog.pg_class AS c, pg_catalog.pg_roles AS r
WHERE c.oid = %(oid)s AND r.rolname = current_user AND NOT r.rolsuper AND c.relowner <> r.oid
  AND NOT pg_catalog.has_schema_privilege(c.relowner, c.relnamespace, 'CREATE')
UNION
-- From PostgreSQL 16 on a role may be another's without being let to pass for it, which giving it a table takes.
SELECT 'no right to SET ROLE ' || pg_get_userbyid(c.relowner) || ', its owner'
FROM pg_catalog.pg_class AS c
WHERE c.oid = %(oid)s AND pg_catalog.pg_has_role(c.relowner, 'USAGE') AND NOT pg_catalog.pg_has_role(
    c.relowner, CASE WHEN current_setting('server_version_num')::integer < 160000 THEN 'MEMBER' ELSE 'SET' END)
UNION
SELECT 'no right to create in the tablespace of the index ' || ci.relname
FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS ci ON ci.oid = i.indexrelid
WHERE i.indrelid = %(oid)s AND ci.reltablespace <> 0
  AND NOT pg_catalog.has_tablespace_privilege(ci.reltablespace, 'CREATE')
UNION
SELECT 'security label' FROM pg_catalog.pg_seclabels WHERE classoid = 'pg_class'::regclass AND objoid = %(oid)s
ORDER BY 1

-- name: lacking_rights
-- Of those that a merge needs. Who has one for some columns may have it for those that are written.
SELECT 'INSERT' WHERE NOT pg_catalog.has_any_column_privilege(%(oid)s::oid, 'INSERT')
UNION ALL
SELECT 'UPDATE' WHERE NOT pg_catalog.has_any_column_privilege(%(oid)s::oid, 'UPDATE')
UNION ALL
SELECT 'DELETE' WHERE %(deletes)s AND NOT pg_catalog.has_table_privilege(%(oid)s::oid, 'DELETE')

-- name: on_columns
-- What uses these columns so that PostgreSQL does not let their types change: views, conditions of policies, triggers and
-- publications, functions, columns computed from them, the key of its partitions (whose columns hang on the table itself),
-- tables that it inherits them from, foreign keys of a char that becomes another type.
SELECT a.attname::text, pg_catalog.pg_describe_object(d.classid, d.objid, 0)
FROM pg_catalog.pg_depend AS d
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
LEFT JOIN pg_catalog.pg_attrdef AS def ON d.classid = 'pg_attrdef'::regclass AND def.oid = d.objid
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %(oid)s AND a.attname = ANY (%(columns)s::text[])
  AND (d.classid IN ('pg_rewrite'::regclass, 'pg_trigger'::regclass, 'pg_publication_rel'::regclass, 'pg_proc'::regclass)
       OR (d.classid = 'pg_policy'::regclass AND NOT %(swap)s)
       OR def.adnum <> a.attnum)
UNION ALL
SELECT a.attname::text, 'its partition key'
FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.objid AND a.attnum = d.objsubid
WHERE d.classid = 'pg_class'::regclass AND d.objid = %(oid)s AND d.refclassid = 'pg_class'::regclass
  AND d.refobjid = d.objid AND d.deptype = 'i' AND a.attname = ANY (%(columns)s::text[])
UNION ALL
SELECT a.attname::text, 'inheritance from ' || pg_catalog.pg_describe_object('pg_class'::regclass, i.inhparent, 0)
FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = a.attrelid
WHERE a.attrelid = %(oid)s AND a.attinhcount > 0 AND a.attname = ANY (%(columns)s::text[])
UNION ALL
-- A char is compared without the spaces that fill it up, a varchar with them: the other table's rows would refer to none.
SELECT a.attname::text, pg_catalog.pg_describe_object('pg_constraint'::regclass, con.oid, 0)
FROM pg_catalog.pg_constraint AS con
JOIN pg_catalog.pg_attribute AS a ON (a.attrelid = con.confrelid AND a.attnum = ANY (con.confkey))
                                  OR (a.attrelid = con.conrelid AND a.attnum = ANY (con.conkey))
WHERE con.contype = 'f' AND a.attrelid = %(oid)s AND a.attname = ANY (%(padded)s::text[])
ORDER BY 1, 2 LIMIT 1

-- name: unlike
-- In what the live table and the staging table, made like it when the sync began, differ. A widened column's default and
-- the rules on it are written otherwise. The staging table's key may have been made NOT NULL since. A rule that old rows
-- need not keep (NOT VALID) holds for every row of the staging table, which LIKE gave the same rule without that.
WITH each AS (
    SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS filled,
           a.attidentity AS identity, a.attcollation AS collation, pg_get_expr(d.adbin, d.adrelid) AS given,
           a.attrelid AS of_table
    FROM pg_catalog.pg_attribute AS a
    LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid IN (%(live)s, %(staging)s::text::regclass) AND a.attnum > 0 AND NOT a.attisdropped
), rule AS (
    SELECT c.conrelid, c.conname::text AS name,
           CASE WHEN %(widened)s::text[] = '{{}}' THEN
                regexp_replace(pg_get_constraintdef(c.oid), ' NOT VALID$', '') END AS definition
    FROM pg_catalog.pg_constraint AS c
    WHERE c.conrelid IN (%(live)s, %(staging)s::text::regclass) AND c.contype = 'c'
)
SELECT 'column ' || l.name
FROM each AS l JOIN each AS s ON s.name = l.name AND s.of_table <> l.of_table
WHERE l.of_table = %(live)s
  AND ((l.filled AND NOT s.filled AND l.name <> ALL (%(relaxed)s::text[]))
       OR (s.filled AND NOT l.filled AND l.name <> ALL (%(key)s::text[]))
       OR l.identity <> s.identity
       OR (l.name <> ALL (%(widened)s::text[])
           AND (l.type, l.collation, l.given) IS DISTINCT FROM (s.type, s.collation, s.given)))
UNION ALL
SELECT DISTINCT 'check ' || l.name FROM rule AS l
WHERE NOT EXISTS (
    SELECT FROM rule AS s
    WHERE s.conrelid <> l.conrelid AND s.name = l.name AND s.definition IS NOT DISTINCT FROM l.definition)
ORDER BY 1

-- name: old_snapshots
-- Transactions that may not see all the staged rows: they began before the last of those was committed. What kind of
-- backend it is, an ordinary role sees of its own only; that it is some role's, and no sender of the log, it sees of all.
SELECT a.pid
FROM pg_catalog.pg_stat_activity AS a
WHERE a.backend_xmin IS NOT NULL AND a.pid <> pg_backend_pid() AND a.usesysid IS NOT NULL
  AND a.pid NOT IN (SELECT r.pid FROM pg_catalog.pg_stat_replication AS r)
  AND a.datid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  AND age(a.backend_xmin) >= age(%(xact)s::xid8::xid)
ORDER BY a.xact_start LIMIT 1
