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
SELECT id, user_id, name, kind, first_seen_at, last_seen_at
FROM devices
WHERE id = ANY(@ids::uuid[]) AND user_id = @user_id;
