-- Statements that give a table what the one before it had. They are made before that one is dropped, and run when the
-- new one has its name. In order: rights, options, statistics, row security, identity of replicas, comments.

-- name: revokes
-- What default privileges gave the new table, and the old one did not have. Its owner's rights go only when asked for.
SELECT DISTINCT format('REVOKE ALL ON TABLE %%I.%%I FROM %%s', n.nspname, c.relname,
                       CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS acl
WHERE n.nspname = %(schema)s AND c.relname = %(table)s AND (%(of_owner)s OR acl.grantee <> c.relowner)

-- name: grants
WITH live AS (
    SELECT c.oid, c.relacl, c.relowner, format('%%I.%%I', n.nspname, c.relname) AS name
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = %(oid)s
), rights AS (
    SELECT live.name, NULL::name AS part, acl.*
    FROM live CROSS JOIN LATERAL aclexplode(coalesce(live.relacl, acldefault('r', live.relowner))) AS acl
    UNION ALL
    SELECT live.name, a.attname, acl.*
    FROM live JOIN pg_catalog.pg_attribute AS a ON a.attrelid = live.oid AND a.attnum > 0 AND NOT a.attisdropped
    CROSS JOIN LATERAL aclexplode(a.attacl) AS acl
)
SELECT format('GRANT %%s%%s ON TABLE %%s TO %%s%%s', privilege_type,
              CASE WHEN part IS NULL THEN '' ELSE format(' (%%I)', part) END, name,
              CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
              CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM rights

-- name: owner
SELECT pg_get_userbyid(relowner) FROM pg_catalog.pg_class WHERE oid = %(oid)s

-- name: properties
WITH live AS (
    SELECT c.*, format('%%I.%%I', n.nspname, c.relname) AS name, n.nspname
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = %(oid)s
), attributes AS (
    SELECT a.*, live.name, quote_ident(a.attname) AS part
    FROM live JOIN pg_catalog.pg_attribute AS a ON a.attrelid = live.oid AND a.attnum > 0 AND NOT a.attisdropped
), statements (rank, text) AS (
    SELECT 1, format('ALTER TABLE %%s SET (%%s)', name,
                     (SELECT string_agg(split_part(o, '=', 1) || '=' || quote_literal(substr(o, strpos(o, '=') + 1)), ', ')
                      FROM unnest(reloptions) AS o))
    FROM live WHERE reloptions IS NOT NULL
    UNION ALL
    SELECT 2, format('ALTER TABLE %%s SET (%%s)', live.name,
                     (SELECT string_agg('toast.' || split_part(o, '=', 1) || '=' ||
                                        quote_literal(substr(o, strpos(o, '=') + 1)), ', ')
                      FROM unnest(toast.reloptions) AS o))
    FROM live JOIN pg_catalog.pg_class AS toast ON toast.oid = live.reltoastrelid WHERE toast.reloptions IS NOT NULL
    UNION ALL
    SELECT 3, format('ALTER TABLE %%s ALTER COLUMN %%s SET STATISTICS %%s', name, part, attstattarget)
    FROM attributes WHERE attstattarget >= 0
    UNION ALL
    SELECT 4, format('ALTER TABLE %%s ALTER COLUMN %%s SET (%%s)', name, part, array_to_string(attoptions, ', '))
    FROM attributes WHERE attoptions IS NOT NULL
    UNION ALL
    SELECT 5, pg_get_statisticsobjdef(s.oid) FROM pg_catalog.pg_statistic_ext AS s WHERE s.stxrelid = %(oid)s
    UNION ALL
    SELECT 6, format('CREATE POLICY %%I ON %%s AS %%s FOR %%s TO %%s%%s%%s', p.polname, live.name,
                     CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                     CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                                   WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                     (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ')
                      FROM unnest(p.polroles) AS r),
                     coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', ''),
                     coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', ''))
    FROM live JOIN pg_catalog.pg_policy AS p ON p.polrelid = live.oid
    UNION ALL
    -- An event trigger may have put it on the new table, where it would show nobody a row.
    SELECT 7, format('ALTER TABLE %%s %%s ROW LEVEL SECURITY, %%s ROW LEVEL SECURITY', name,
                     CASE WHEN relrowsecurity THEN 'ENABLE' ELSE 'DISABLE' END,
                     CASE WHEN relforcerowsecurity THEN 'FORCE' ELSE 'NO FORCE' END)
    FROM live
    UNION ALL
    SELECT 8, format('ALTER TABLE %%s REPLICA IDENTITY %%s', live.name,
                     CASE live.relreplident WHEN 'd' THEN 'DEFAULT' WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
                     ELSE (SELECT format('USING INDEX %%I', ci.relname) FROM pg_catalog.pg_index AS i
                           JOIN pg_catalog.pg_class AS ci ON ci.oid = i.indexrelid
                           WHERE i.indrelid = live.oid AND i.indisreplident) END)
    FROM live
    UNION ALL
    SELECT 9, format('ALTER TABLE %%s CLUSTER ON %%I', live.name, ci.relname)
    FROM live JOIN pg_catalog.pg_index AS i ON i.indrelid = live.oid AND i.indisclustered
    JOIN pg_catalog.pg_class AS ci ON ci.oid = i.indexrelid
    UNION ALL
    SELECT 10, format('COMMENT ON TABLE %%s IS %%L', name, obj_description(oid, 'pg_class'))
    FROM live WHERE obj_description(oid, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT 11, format('COMMENT ON COLUMN %%s.%%s IS %%L', name, part, col_description(attrelid, attnum))
    FROM attributes WHERE col_description(attrelid, attnum) IS NOT NULL
    UNION ALL
    SELECT 12, format('COMMENT ON INDEX %%I.%%I IS %%L', live.nspname, ci.relname, obj_description(ci.oid, 'pg_class'))
    FROM live JOIN pg_catalog.pg_index AS i ON i.indrelid = live.oid
    JOIN pg_catalog.pg_class AS ci ON ci.oid = i.indexrelid
    WHERE i.indisvalid AND obj_description(ci.oid, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT 13, format('COMMENT ON CONSTRAINT %%I ON %%s IS %%L', con.conname, live.name,
                      obj_description(con.oid, 'pg_constraint'))
    FROM live JOIN pg_catalog.pg_constraint AS con ON con.conrelid = live.oid
    WHERE obj_description(con.oid, 'pg_constraint') IS NOT NULL
      -- A NOT NULL that the source no longer keeps is a constraint from PostgreSQL 18 on.
      AND (con.contype <> 'n' OR EXISTS (
          SELECT FROM pg_catalog.pg_constraint AS new
          WHERE new.conrelid = %(staging)s::text::regclass AND new.conname = con.conname))
    UNION ALL
    SELECT 14, format('COMMENT ON POLICY %%I ON %%s IS %%L', p.polname, live.name, obj_description(p.oid, 'pg_policy'))
    FROM live JOIN pg_catalog.pg_policy AS p ON p.polrelid = live.oid
    WHERE obj_description(p.oid, 'pg_policy') IS NOT NULL
    UNION ALL
    SELECT 15, format('COMMENT ON STATISTICS %%I.%%I IS %%L', sn.nspname, s.stxname,
                      obj_description(s.oid, 'pg_statistic_ext'))
    FROM pg_catalog.pg_statistic_ext AS s JOIN pg_catalog.pg_namespace AS sn ON sn.oid = s.stxnamespace
    WHERE s.stxrelid = %(oid)s AND obj_description(s.oid, 'pg_statistic_ext') IS NOT NULL
    UNION ALL
    SELECT 16, format('ALTER STATISTICS %%I.%%I SET STATISTICS %%s', sn.nspname, s.stxname, s.stxstattarget)
    FROM pg_catalog.pg_statistic_ext AS s JOIN pg_catalog.pg_namespace AS sn ON sn.oid = s.stxnamespace
    WHERE s.stxrelid = %(oid)s AND s.stxstattarget >= 0
    UNION ALL
    SELECT 17, format('ALTER INDEX %%I.%%I ALTER COLUMN %%s SET STATISTICS %%s', live.nspname, ci.relname, a.attnum,
                      a.attstattarget)
    FROM live JOIN pg_catalog.pg_index AS i ON i.indrelid = live.oid AND i.indisvalid
    JOIN pg_catalog.pg_class AS ci ON ci.oid = i.indexrelid
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = ci.oid AND a.attstattarget >= 0
    UNION ALL
    SELECT 18, format('ALTER STATISTICS %%I.%%I OWNER TO %%I', live.nspname, s.stxname, pg_get_userbyid(s.stxowner))
    FROM live JOIN pg_catalog.pg_statistic_ext AS s
      ON s.stxrelid = live.oid AND s.stxnamespace = live.relnamespace AND s.stxowner = live.relowner
)
SELECT text FROM statements ORDER BY rank

-- name: identities
-- Rights and comments of the sequences inside identity columns, once the new ones have their names.
WITH within AS (
    SELECT s.*, format('%%I.%%I', n.nspname, s.relname) AS name
    FROM pg_catalog.pg_depend AS d
    JOIN pg_catalog.pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_catalog.pg_namespace AS n ON n.oid = s.relnamespace
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
      AND d.refobjid = %(oid)s AND d.deptype = 'i'
)
SELECT format('GRANT %%s ON SEQUENCE %%s TO %%s%%s', acl.privilege_type, within.name,
              CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END,
              CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM within CROSS JOIN LATERAL aclexplode(within.relacl) AS acl
WHERE acl.grantee <> within.relowner
UNION ALL
SELECT format('COMMENT ON SEQUENCE %%s IS %%L', name, obj_description(oid, 'pg_class'))
FROM within WHERE obj_description(oid, 'pg_class') IS NOT NULL
