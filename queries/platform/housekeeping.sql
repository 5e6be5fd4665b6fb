-- Each statement deletes a bounded number, so that none holds many locks; those
-- that others hold are left for the next run.

-- name: SweepSessions :execrows
-- A session's refresh tokens go with it.
DELETE FROM sessions WHERE id IN (
    SELECT old.id FROM sessions old WHERE old.expires_at < @expired_before::timestamptz ORDER BY old.expires_at LIMIT @batch
);

-- name: SweepIdempotencyKeys :execrows
DELETE FROM idempotency_keys WHERE (actor_id, operation, key) IN (
    SELECT old.actor_id, old.operation, old.key FROM idempotency_keys old
    WHERE old.created_at < @created_before::timestamptz ORDER BY old.created_at LIMIT @batch
);

-- name: SweepOutbox :many
-- What no version has been able to deliver for so long is told of and dropped.
DELETE FROM outbox WHERE id IN (
    SELECT old.id FROM outbox old WHERE old.created_at < @created_before::timestamptz ORDER BY old.id LIMIT @batch
    FOR UPDATE SKIP LOCKED
)
RETURNING id, kind, created_at, attempts;
