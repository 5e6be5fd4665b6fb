-- name: InsertOutbox :exec
INSERT INTO outbox (tenant_id, kind, body) VALUES (sqlc.narg(tenant_id), @kind, @body);

-- name: Emit :exec
SELECT emit(@kind::text, @body::jsonb);

-- name: LockDueOutbox :many
-- Rows stay locked until the relay's transaction ends; other relays take others.
SELECT id, tenant_id, kind, body, attempts, created_at
FROM outbox
WHERE next_attempt_at <= now()
ORDER BY id
LIMIT @batch
FOR UPDATE SKIP LOCKED;

-- name: DeleteOutbox :exec
DELETE FROM outbox WHERE id = ANY(@ids::bigint[]);

-- name: DelayOutbox :exec
UPDATE outbox
SET attempts = attempts + 1, next_attempt_at = now() + @delay::interval, last_error = @last_error
WHERE id = @id;

-- name: OutboxBacklog :one
SELECT count(*) AS waiting, coalesce(max(attempts), 0)::integer AS attempts FROM outbox;
