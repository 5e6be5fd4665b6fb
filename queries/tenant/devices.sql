-- name: RecordSignIn :exec
-- One idempotent statement: the device, and the tenant's copy of the audit
-- event that the platform already has under the same id.
WITH device AS (
    INSERT INTO devices (id, user_id, name, kind, first_seen_at, last_seen_at)
    VALUES (@device_id, @user_id, @device_name, @device_kind, @at, @at)
    ON CONFLICT (id) DO UPDATE SET last_seen_at = greatest(devices.last_seen_at, excluded.last_seen_at)
    WHERE devices.user_id = excluded.user_id
)
INSERT INTO audit_events (id, actor_id, session_id, action, target, request_id, details, created_at)
VALUES (@event_id, @user_id, @session_id, @action, @target, @request_id, @details, @at)
ON CONFLICT (id) DO NOTHING;

-- name: GetDevicesByID :many
-- Of one user only, unless user_id is null.
SELECT id, user_id, name, kind, first_seen_at, last_seen_at
FROM devices
WHERE id = ANY(@ids::uuid[]) AND (sqlc.narg(user_id)::uuid IS NULL OR user_id = sqlc.narg(user_id)::uuid);

-- name: ListDevicesOfUsers :many
-- A page of the devices of each user, the last one added first: ids are UUIDv7.
SELECT l.id, l.user_id, l.name, l.kind, l.first_seen_at, l.last_seen_at
FROM unnest(@user_ids::uuid[]) AS wanted(user_id)
CROSS JOIN LATERAL (
    SELECT d.id, d.user_id, d.name, d.kind, d.first_seen_at, d.last_seen_at
    FROM devices d
    WHERE d.user_id = wanted.user_id AND (sqlc.narg(after)::uuid IS NULL OR d.id < sqlc.narg(after)::uuid)
    ORDER BY d.id DESC
    LIMIT @page_size) l
ORDER BY l.user_id, l.id DESC;
