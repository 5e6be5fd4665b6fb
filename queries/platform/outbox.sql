-- name: InsertOutbox :exec
INSERT INTO outbox (tenant_id, kind, body) VALUES (sqlc.narg(tenant_id), @kind, @body);

-- name: Emit :exec
SELECT emit(@kind::text, @body::jsonb);

-- name: TakeOutbox :many
-- Rows that others hold locked are left to them.
DELETE FROM outbox WHERE id IN (
    SELECT due.id FROM outbox due
    WHERE due.next_attempt_at <= now() AND due.kind = ANY(@kinds::text[])
    ORDER BY due.id
    LIMIT @batch
    FOR UPDATE SKIP LOCKED
)
RETURNING id, tenant_id, kind, body, created_at;

-- name: LockDueOutbox :many
-- Rows stay locked until the relay's transaction ends; other relays take others.
SELECT id, tenant_id, kind, body, attempts, created_at
FROM outbox
WHERE next_attempt_at <= now() AND kind <> ALL(@not_kinds::text[])
ORDER BY id
LIMIT @batch
FOR UPDATE SKIP LOCKED;

-- name: DeleteOutbox :exec
DELETE FROM outbox WHERE id = ANY(@ids::bigint[]);

-- name: DelayOutbox :exec
UPDATE outbox
SET attempts = attempts + 1, next_attempt_at = now() + @delay::interval, last_error = @last_error
WHERE id = @id;

-- name: OutboxBacklog :many
SELECT kind, count(*) AS waiting, extract(epoch FROM now() - min(created_at))::float8 AS oldest_seconds
FROM outbox GROUP BY kind ORDER BY kind;
