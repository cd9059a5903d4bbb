-- Rows of one table into another. `*<>` compares the stored images: it knows every type, and sees what `=` does not
-- (json, which has no `=`; 1.0 against 1.00; minus zero). The cast keeps PostgreSQL from comparing column by column.

-- name: drop_superseded
-- The same key twice in one batch: the greatest cursor wins, then the one that came last.
DELETE FROM {incoming} AS i
USING (SELECT ctid AS place,
              row_number() OVER (PARTITION BY {keys} ORDER BY {order}) AS rank
       FROM {incoming}) AS ranked
WHERE i.ctid = ranked.place AND ranked.rank > 1

-- name: update_changed
UPDATE {live} AS t SET {assignments}
FROM {incoming} AS s
WHERE {match} AND ROW({live_values})::record OPERATOR(pg_catalog.*<>) ROW({incoming_values})::record

-- name: insert_missing
INSERT INTO {live} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {incoming_columns} FROM {incoming} AS s
WHERE NOT EXISTS (SELECT FROM {live} AS t WHERE {match})

-- name: insert_all
INSERT INTO {live} ({columns}) OVERRIDING SYSTEM VALUE SELECT {incoming_columns} FROM {incoming} AS s
