-- name: UpsertDevice :exec
INSERT INTO devices (id, user_id, name, kind) VALUES (@id, @user_id, @name, @kind)
ON CONFLICT (id) DO UPDATE SET last_seen_at = now();

-- name: GetDevicesByID :many
SELECT id, user_id, name, kind, first_seen_at, last_seen_at
FROM devices
WHERE id = ANY(@ids::uuid[]);
