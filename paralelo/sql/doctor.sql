-- What the doctor asks the target. Reads only.

-- name: server
SELECT current_setting('server_version_num')::int AS version,
       current_setting('server_version') AS shown,
       pg_is_in_recovery() AS standby,
       (SELECT reset_val = 'on' FROM pg_catalog.pg_settings WHERE name = 'default_transaction_read_only') AS read_only,
       current_setting('server_encoding') AS encoding,
       clock_timestamp() AS now,
       coalesce((SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS encrypted,
       inet_server_addr() IS NULL OR inet_server_addr() = inet_client_addr() AS nearby

-- name: rights
SELECT current_user AS role,
       has_database_privilege(current_database(), 'CREATE') AS may_create_schemas,
       has_database_privilege(current_database(), 'TEMPORARY') AS may_create_temporary,
       to_regnamespace(quote_ident(%(schema)s)) IS NOT NULL AS schema_there,
       coalesce(has_schema_privilege(to_regnamespace(quote_ident(%(schema)s)), 'CREATE'), false)
           AND coalesce(has_schema_privilege(to_regnamespace(quote_ident(%(schema)s)), 'USAGE'), false) AS schema_usable,
       to_regnamespace('paralelo') IS NOT NULL AS ledger_there,
       coalesce(has_schema_privilege(to_regnamespace('paralelo'), 'CREATE'), false)
           AND coalesce(has_schema_privilege(to_regnamespace('paralelo'), 'USAGE'), false) AS ledger_usable,
       EXISTS (SELECT FROM pg_catalog.pg_publication WHERE puballtables) AS all_published

-- name: table_rights
SELECT c.oid::bigint AS oid,
       pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owned,
       has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
           AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE') AS writable,
       pg_catalog.row_security_active(c.oid) AS rows_hidden,
       pg_catalog.pg_get_userbyid(c.relowner) AS owner
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(table)s

-- name: connections
SELECT current_setting('max_connections')::int AS allowed,
       current_setting('superuser_reserved_connections')::int AS reserved,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend')::int AS used,
       (SELECT rolconnlimit FROM pg_catalog.pg_roles WHERE rolname = current_user) AS role_limit

-- name: wal
SELECT pg_size_bytes(current_setting('max_wal_size')) AS max_wal_size,
       current_setting('wal_level') AS level,
       (SELECT coalesce(max(pg_wal_lsn_diff(
                   CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                   restart_lsn)), 0)::bigint
        FROM pg_catalog.pg_replication_slots WHERE NOT active) AS held_by_idle_slots,
       (SELECT string_agg(slot_name::text, ', ') FROM pg_catalog.pg_replication_slots WHERE NOT active) AS idle_slots,
       (SELECT last_failed_time IS NOT NULL AND last_failed_time > coalesce(last_archived_time, '-infinity')
        FROM pg_catalog.pg_stat_archiver) AS archiver_fails,
       pg_database_size(current_database()) AS database_size
