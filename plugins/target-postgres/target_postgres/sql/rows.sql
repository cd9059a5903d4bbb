-- Rows of one table into another. `*<>` compares the stored images: it knows every type, and sees what `=` does not
-- (json, which has no `=`; 1.0 against 1.00; minus zero). The cast keeps PostgreSQL from comparing column by column.

-- name: drop_superseded
-- The same key twice in one batch: the greatest cursor wins, then the one that came last.
DELETE FROM {incoming} AS i
USING (SELECT ctid AS place,
              row_number() OVER (PARTITION BY {keys} ORDER BY {order}) AS rank
       FROM {incoming}) AS ranked
WHERE i.ctid = ranked.place AND ranked.rank > 1

-- name: clear
DELETE FROM {incoming}

-- name: update_changed
UPDATE {live} AS t SET {assignments}
FROM {incoming} AS s
WHERE {match} AND ROW({live_values})::record OPERATOR(pg_catalog.*<>) ROW({incoming_values})::record

-- name: insert_missing
INSERT INTO {live} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {incoming_columns} FROM {incoming} AS s
WHERE NOT EXISTS (SELECT FROM {live} AS t WHERE {match})

-- name: intervened_in
-- Whether a trigger before each row, or a rule, may keep rows of the table out or change them.
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_trigger AS g
    WHERE (g.tgrelid = %(name)s::regclass OR g.tgrelid IN (SELECT relid FROM pg_partition_tree(%(name)s::regclass)))
      AND NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND g.tgtype & 3 = 3
) OR EXISTS (SELECT FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = %(name)s::regclass AND r.ev_enabled IN ('O', 'A'))

-- name: count_not_as_loaded
SELECT count(*) FROM {incoming} AS s
WHERE NOT EXISTS (
    SELECT FROM {live} AS t
    WHERE {match} AND NOT ROW({live_values})::record OPERATOR(pg_catalog.*<>) ROW({incoming_values})::record)

-- name: insert_all
INSERT INTO {live} ({columns}) OVERRIDING SYSTEM VALUE SELECT {incoming_columns} FROM {incoming} AS s
