-- name: StartSession :execrows
-- The locks make a sign-in wait for, or be seen by, a change of the password,
-- the identity or the membership that ends sessions at the same moment: no
-- session starts on what was true a moment ago.
WITH member AS (
    SELECT m.identity_id, m.tenant_id
    FROM memberships m
    JOIN identities i ON i.id = m.identity_id
    JOIN password_credentials p ON p.identity_id = m.identity_id
    JOIN tenants t ON t.id = m.tenant_id
    WHERE m.identity_id = @identity_id AND m.tenant_id = @tenant_id
      AND m.state = 'active' AND i.state = 'active' AND t.state = 'active'
      AND sha256(convert_to(p.hash, 'UTF8')) = @credential::bytea
    FOR SHARE OF m, i, p
), started AS (
    INSERT INTO sessions (id, tenant_id, identity_id, device_id, user_agent, ip, amr, auth_time, created_at, last_seen_at, expires_at)
    SELECT @id::uuid, tenant_id, identity_id, @device_id::uuid, @user_agent::text, @ip::text, @amr::text[],
           @auth_time::timestamptz, @started_at::timestamptz, @started_at::timestamptz, @expires_at::timestamptz
    FROM member
    RETURNING id
)
INSERT INTO refresh_tokens (hash, session_id, generation, created_at, expires_at)
SELECT @refresh_hash::bytea, id, 0, @started_at::timestamptz, @refresh_expires_at::timestamptz FROM started;

-- name: ListSessionsOfUsersNewestFirst :many
-- A page of the sessions of each user, in one statement for all users; ids are
-- UUIDv7, so they page by time. after_id is above, or below, all ids for the first
-- page: a comparison that may be left out would not use the index.
SELECT l.id, l.identity_id, l.device_id, l.user_agent, l.ip, l.created_at, l.last_seen_at, l.expires_at, l.revoked_at
FROM unnest(@identity_ids::uuid[]) AS wanted(identity_id)
CROSS JOIN LATERAL (
    SELECT s.id, s.identity_id, s.device_id, s.user_agent, s.ip, s.created_at, s.last_seen_at, s.expires_at, s.revoked_at
    FROM sessions s
    WHERE s.tenant_id = @tenant_id AND s.identity_id = wanted.identity_id AND CASE @state::text
        WHEN 'ACTIVE' THEN s.revoked_at IS NULL AND s.expires_at > @at::timestamptz
        WHEN 'ENDED' THEN s.revoked_at IS NOT NULL
        ELSE s.revoked_at IS NULL AND s.expires_at <= @at::timestamptz END
      AND (sqlc.narg(device_id)::uuid IS NULL OR s.device_id = sqlc.narg(device_id)::uuid)
      AND s.id < @after_id::uuid
    ORDER BY s.id DESC
    LIMIT @page_size) l
ORDER BY l.identity_id, l.id DESC;

-- name: ListSessionsOfUsersOldestFirst :many
SELECT l.id, l.identity_id, l.device_id, l.user_agent, l.ip, l.created_at, l.last_seen_at, l.expires_at, l.revoked_at
FROM unnest(@identity_ids::uuid[]) AS wanted(identity_id)
CROSS JOIN LATERAL (
    SELECT s.id, s.identity_id, s.device_id, s.user_agent, s.ip, s.created_at, s.last_seen_at, s.expires_at, s.revoked_at
    FROM sessions s
    WHERE s.tenant_id = @tenant_id AND s.identity_id = wanted.identity_id AND CASE @state::text
        WHEN 'ACTIVE' THEN s.revoked_at IS NULL AND s.expires_at > @at::timestamptz
        WHEN 'ENDED' THEN s.revoked_at IS NOT NULL
        ELSE s.revoked_at IS NULL AND s.expires_at <= @at::timestamptz END
      AND (sqlc.narg(device_id)::uuid IS NULL OR s.device_id = sqlc.narg(device_id)::uuid)
      AND s.id > @after_id::uuid
    ORDER BY s.id
    LIMIT @page_size) l
ORDER BY l.identity_id, l.id;

-- name: ListSessionsNewestFirst :many
-- A page of all sessions of a tenant.
SELECT s.id, s.identity_id, s.device_id, s.user_agent, s.ip, s.created_at, s.last_seen_at, s.expires_at, s.revoked_at
FROM sessions s
WHERE s.tenant_id = @tenant_id AND CASE @state::text
        WHEN 'ACTIVE' THEN s.revoked_at IS NULL AND s.expires_at > @at::timestamptz
        WHEN 'ENDED' THEN s.revoked_at IS NOT NULL
        ELSE s.revoked_at IS NULL AND s.expires_at <= @at::timestamptz END
      AND (sqlc.narg(device_id)::uuid IS NULL OR s.device_id = sqlc.narg(device_id)::uuid)
  AND s.id < @after_id::uuid
ORDER BY s.id DESC
LIMIT @page_size;

-- name: ListSessionsOldestFirst :many
SELECT s.id, s.identity_id, s.device_id, s.user_agent, s.ip, s.created_at, s.last_seen_at, s.expires_at, s.revoked_at
FROM sessions s
WHERE s.tenant_id = @tenant_id AND CASE @state::text
        WHEN 'ACTIVE' THEN s.revoked_at IS NULL AND s.expires_at > @at::timestamptz
        WHEN 'ENDED' THEN s.revoked_at IS NOT NULL
        ELSE s.revoked_at IS NULL AND s.expires_at <= @at::timestamptz END
      AND (sqlc.narg(device_id)::uuid IS NULL OR s.device_id = sqlc.narg(device_id)::uuid)
  AND s.id > @after_id::uuid
ORDER BY s.id
LIMIT @page_size;

-- name: ListSessionsOnDevices :many
-- A page of live sessions on each device, newest first, in one statement for all
-- devices; of one user only, unless identity_id is null.
SELECT l.id, l.identity_id, l.device_id, l.user_agent, l.ip, l.created_at, l.last_seen_at, l.expires_at, l.revoked_at
FROM unnest(@device_ids::uuid[]) AS wanted(device_id)
CROSS JOIN LATERAL (
    SELECT s.id, s.identity_id, s.device_id, s.user_agent, s.ip, s.created_at, s.last_seen_at, s.expires_at, s.revoked_at
    FROM sessions s
    WHERE s.tenant_id = @tenant_id AND s.device_id = wanted.device_id AND s.revoked_at IS NULL AND s.expires_at > @at
      AND (sqlc.narg(identity_id)::uuid IS NULL OR s.identity_id = sqlc.narg(identity_id)::uuid)
      AND s.id < @after_id::uuid
    ORDER BY s.id DESC
    LIMIT @page_size) l
ORDER BY l.device_id, l.id DESC;

-- name: GetSessionsByID :many
-- Of one user only, unless identity_id is null.
SELECT id, identity_id, device_id, user_agent, ip, created_at, last_seen_at, expires_at, revoked_at
FROM sessions
WHERE id = ANY(@ids::uuid[]) AND tenant_id = @tenant_id
  AND (sqlc.narg(identity_id)::uuid IS NULL OR identity_id = sqlc.narg(identity_id)::uuid)
  AND revoked_at IS NULL AND expires_at > @at;

-- name: EndSession :execrows
-- The session and the revocation that every process must see are one statement.
WITH ended AS (
    UPDATE sessions SET revoked_at = @at::timestamptz, revoke_reason = @reason::text
    WHERE sessions.id = @id AND sessions.identity_id = @identity_id AND revoked_at IS NULL
    RETURNING sessions.id, sessions.tenant_id
)
INSERT INTO revocations (kind, subject, tenant_id, created_at, expires_at)
SELECT 'session', ended.id, ended.tenant_id, @at::timestamptz, @revocation_expires_at::timestamptz FROM ended;

-- name: HasUserSession :one
-- Also one that has ended.
SELECT EXISTS (SELECT FROM sessions WHERE id = @id AND identity_id = @identity_id);

-- name: EndOtherSessions :many
-- All of a user's live sessions but one, in the order of their ids, so that two
-- who end them at once cannot deadlock. Across tenants if the caller may see them.
WITH ending AS (
    SELECT s.id FROM sessions s
    WHERE s.identity_id = @identity_id AND s.id <> @except_id AND s.revoked_at IS NULL AND s.expires_at > @at::timestamptz
    ORDER BY s.id
    FOR NO KEY UPDATE
), ended AS (
    UPDATE sessions SET revoked_at = @at::timestamptz, revoke_reason = @reason::text
    FROM ending WHERE sessions.id = ending.id
    RETURNING sessions.id, sessions.tenant_id
)
INSERT INTO revocations (kind, subject, tenant_id, created_at, expires_at)
SELECT 'session', ended.id, ended.tenant_id, @at::timestamptz, @revocation_expires_at::timestamptz FROM ended
RETURNING subject AS id, tenant_id;

-- name: TouchSessions :exec
-- ids and times are parallel lists; in order of id, so that two processes that
-- touch the same sessions cannot deadlock.
UPDATE sessions s SET last_seen_at = locked.seen_at
FROM (
    SELECT s2.id, seen.seen_at
    FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@seen_at::timestamptz[]) AS seen_at) AS seen
    JOIN sessions s2 ON s2.id = seen.id
    WHERE s2.last_seen_at < seen.seen_at
    ORDER BY s2.id
    FOR NO KEY UPDATE OF s2
) AS locked
WHERE s.id = locked.id;

-- name: GetSessionProof :one
-- What a session was started with, for one that follows it in another tenant.
SELECT s.amr, s.auth_time, s.expires_at, i.email, p.hash
FROM sessions s
JOIN identities i ON i.id = s.identity_id
JOIN password_credentials p ON p.identity_id = s.identity_id
WHERE s.id = @id AND s.identity_id = @identity_id AND s.revoked_at IS NULL AND s.expires_at > @at;

-- name: ConfirmSession :one
-- As at a sign-in, the locks make it wait for what ends sessions at the same
-- moment, and see it.
WITH member AS (
    SELECT m.identity_id, m.tenant_id, m.epoch
    FROM memberships m
    JOIN identities i ON i.id = m.identity_id
    JOIN password_credentials p ON p.identity_id = m.identity_id
    WHERE m.identity_id = @identity_id AND m.tenant_id = @tenant_id
      AND m.state = 'active' AND i.state = 'active'
      AND sha256(convert_to(p.hash, 'UTF8')) = @credential::bytea
    FOR SHARE OF m, i, p
)
UPDATE sessions s SET auth_time = @at::timestamptz
FROM member
WHERE s.id = @id AND s.identity_id = member.identity_id AND s.tenant_id = member.tenant_id
  AND s.revoked_at IS NULL AND s.expires_at > @at::timestamptz
RETURNING s.amr, s.expires_at, member.epoch;

-- name: LockRefreshToken :one
-- The locks make renewals of one session wait for each other and for its end;
-- who waited reads the token and the session as they are then.
SELECT r.generation, r.used_at, r.expires_at, r.session_id, s.tenant_id, s.identity_id, s.amr, s.auth_time,
       s.expires_at AS session_expires_at, s.revoked_at, i.email, i.state AS identity_state,
       m.epoch, m.state AS membership_state, t.state AS tenant_state
FROM refresh_tokens r
JOIN sessions s ON s.id = r.session_id
JOIN identities i ON i.id = s.identity_id
JOIN memberships m ON m.identity_id = s.identity_id AND m.tenant_id = s.tenant_id
JOIN tenants t ON t.id = s.tenant_id
WHERE r.hash = @hash
FOR NO KEY UPDATE OF s, r;

-- name: RotateRefreshToken :exec
WITH used AS (
    UPDATE refresh_tokens SET used_at = @at::timestamptz WHERE refresh_tokens.hash = @hash
)
INSERT INTO refresh_tokens (hash, session_id, generation, created_at, expires_at)
VALUES (@successor_hash, @session_id, @generation, @at::timestamptz, @expires_at);

-- name: HasRefreshToken :one
SELECT EXISTS (SELECT FROM refresh_tokens WHERE hash = @hash);

-- name: DeleteRefreshTokens :execrows
-- A batch at a time: a long backlog must not lock renewals out.
DELETE FROM refresh_tokens
WHERE hash IN (
    SELECT r.hash FROM refresh_tokens r
    WHERE r.expires_at < @at::timestamptz OR r.used_at < @used_before::timestamptz
    LIMIT 10000
    FOR UPDATE SKIP LOCKED);
