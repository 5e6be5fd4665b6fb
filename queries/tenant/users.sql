-- name: GetUser :one
SELECT id, email, display_name, locale, time_zone, state, created_at, updated_at
FROM users
WHERE id = @id;

-- name: GetUsersByID :many
SELECT id, email, display_name, locale, time_zone, state, created_at, updated_at
FROM users
WHERE id = ANY(@ids::uuid[]);

-- name: UpdateProfile :one
UPDATE users
SET display_name = coalesce(sqlc.narg(display_name), display_name),
    locale = coalesce(sqlc.narg(locale), locale),
    time_zone = coalesce(sqlc.narg(time_zone), time_zone),
    updated_at = now()
WHERE id = @id AND state = 'active'
RETURNING id, email, display_name, locale, time_zone, state, created_at, updated_at;

-- name: UpsertUser :execrows
-- Idempotent: provisioning may run it again.
INSERT INTO users (id, email, display_name) VALUES (@id, @email, @display_name)
ON CONFLICT (id) DO NOTHING;
