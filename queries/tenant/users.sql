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
-- Idempotent: provisioning may run it again. Of two that insert the same user at
-- the same moment one may be refused with users_email_key, which ON CONFLICT (id)
-- does not cover: callers run one at a time.
INSERT INTO users (id, email, display_name) VALUES (@id, @email, @display_name)
ON CONFLICT (id) DO NOTHING;

-- name: GetUserByEmail :one
SELECT id, state FROM users WHERE email = @email;

-- name: DeactivateUser :one
UPDATE users SET state = 'deactivated', updated_at = now()
WHERE id = @id
RETURNING id, email, display_name, locale, time_zone, state, created_at, updated_at;

-- name: ListUsersAscending :many
-- The key that orders is computed: a tenant's people are thousands at most. It
-- is short, so that it fits into a cursor, and the id makes it unique.
SELECT u.id, u.email, u.display_name, u.locale, u.time_zone, u.state, u.created_at, u.updated_at, k.key::text AS key
FROM users u
CROSS JOIN LATERAL (SELECT (CASE @sort_by::text
    WHEN 'email' THEN left(u.email, 100)
    WHEN 'name' THEN left(lower(u.display_name), 60)
    ELSE to_char(u.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') END) COLLATE "C" AS key) k
WHERE (sqlc.narg(search)::text IS NULL OR position(lower(sqlc.narg(search)::text) IN lower(u.email)) > 0
       OR position(lower(sqlc.narg(search)::text) IN lower(u.display_name)) > 0)
  AND (sqlc.narg(state)::text IS NULL OR u.state = sqlc.narg(state)::text)
  AND (sqlc.narg(role_key)::text IS NULL OR EXISTS (
      SELECT FROM user_roles ur JOIN roles r ON r.id = ur.role_id WHERE ur.user_id = u.id AND r.key = sqlc.narg(role_key)::text))
  AND (sqlc.narg(after_id)::uuid IS NULL OR (k.key, u.id) > (sqlc.narg(after_key)::text COLLATE "C", sqlc.narg(after_id)::uuid))
ORDER BY k.key, u.id
LIMIT @page_size;

-- name: ListUsersDescending :many
-- As ListUsersAscending, the other way round.
SELECT u.id, u.email, u.display_name, u.locale, u.time_zone, u.state, u.created_at, u.updated_at, k.key::text AS key
FROM users u
CROSS JOIN LATERAL (SELECT (CASE @sort_by::text
    WHEN 'email' THEN left(u.email, 100)
    WHEN 'name' THEN left(lower(u.display_name), 60)
    ELSE to_char(u.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') END) COLLATE "C" AS key) k
WHERE (sqlc.narg(search)::text IS NULL OR position(lower(sqlc.narg(search)::text) IN lower(u.email)) > 0
       OR position(lower(sqlc.narg(search)::text) IN lower(u.display_name)) > 0)
  AND (sqlc.narg(state)::text IS NULL OR u.state = sqlc.narg(state)::text)
  AND (sqlc.narg(role_key)::text IS NULL OR EXISTS (
      SELECT FROM user_roles ur JOIN roles r ON r.id = ur.role_id WHERE ur.user_id = u.id AND r.key = sqlc.narg(role_key)::text))
  AND (sqlc.narg(after_id)::uuid IS NULL OR (k.key, u.id) < (sqlc.narg(after_key)::text COLLATE "C", sqlc.narg(after_id)::uuid))
ORDER BY k.key DESC, u.id DESC
LIMIT @page_size;

-- name: ListUsersOfRoles :many
-- A page of the holders of each role, in one statement for all roles.
SELECT wanted.role_id::uuid AS role_id, h.id, h.email, h.display_name, h.locale, h.time_zone, h.state, h.created_at, h.updated_at
FROM unnest(@role_ids::uuid[]) AS wanted(role_id)
CROSS JOIN LATERAL (
    SELECT u.id, u.email, u.display_name, u.locale, u.time_zone, u.state, u.created_at, u.updated_at
    FROM user_roles ur
    JOIN users u ON u.id = ur.user_id
    WHERE ur.role_id = wanted.role_id AND (sqlc.narg(after)::uuid IS NULL OR u.id > sqlc.narg(after)::uuid)
    ORDER BY u.id
    LIMIT @page_size) h
ORDER BY wanted.role_id, h.id;
