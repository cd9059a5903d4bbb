-- name: claim
-- Takes waiting items for one worker. SKIP LOCKED: what another worker is taking at this moment is passed over, so
-- workers neither wait for each other nor take an item twice.
WITH taken AS MATERIALIZED (
    SELECT id FROM audit.audit_queue
    WHERE status = 'pending' AND (CAST(:action AS text) IS NULL OR action = CAST(:action AS text))
    ORDER BY priority DESC, created_at, id
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE audit.audit_queue AS q
    SET status = 'processing', processed_at = clock_timestamp()
    FROM taken WHERE q.id = taken.id
    RETURNING q.*
)
SELECT * FROM claimed ORDER BY priority DESC, created_at, id;

-- name: fail
-- Back to the queue, or given up once max_retries is reached.
UPDATE audit.audit_queue
SET retry_count = retry_count + 1, error_message = :error_message,
    status = CASE WHEN retry_count + 1 >= max_retries THEN 'failed' ELSE 'pending' END,
    completed_at = CASE WHEN retry_count + 1 >= max_retries THEN now() END
WHERE id = :id AND status IN ('processing', 'pending')
RETURNING *;

-- name: release
-- Items whose worker died while it held them: a try that failed.
UPDATE audit.audit_queue
SET retry_count = retry_count + 1, error_message = 'its worker did not come back',
    status = CASE WHEN retry_count + 1 >= max_retries THEN 'failed' ELSE 'pending' END,
    completed_at = CASE WHEN retry_count + 1 >= max_retries THEN now() END
WHERE id IN (
    SELECT id FROM audit.audit_queue WHERE status = 'processing' AND processed_at < :before FOR UPDATE SKIP LOCKED
)
RETURNING *;

-- name: waiting
SELECT * FROM audit.audit_queue WHERE status = 'pending' ORDER BY priority DESC, created_at, id LIMIT :limit;

-- name: of_memory
SELECT * FROM audit.audit_queue
WHERE payload ? 'memory_id' AND payload ->> 'memory_id' = :memory_id ORDER BY id DESC LIMIT 1;

-- name: counts
SELECT status, count(*) AS count FROM audit.audit_queue GROUP BY status;

-- name: delete_finished
WITH gone AS (
    DELETE FROM audit.audit_queue
    WHERE status IN ('completed', 'failed', 'approved', 'rejected') AND coalesce(completed_at, created_at) < :before
    RETURNING 1
)
SELECT count(*) AS gone FROM gone;
