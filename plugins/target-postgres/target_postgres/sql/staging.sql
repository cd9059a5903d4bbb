-- The staging table of a full sync.

-- name: holds_rows
SELECT EXISTS (SELECT FROM {staging})

-- name: count
SELECT count(*) FROM {table}

-- name: null_key
SELECT EXISTS (SELECT FROM {staging} WHERE {any_null})
