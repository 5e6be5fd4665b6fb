-- name: UpsertInvitation :exec
-- Idempotent: provisioning may run it again.
INSERT INTO invitations (id, email, role_key, code_hash, invited_by, expires_at)
VALUES (@id, @email, @role_key, @code_hash, sqlc.narg(invited_by), @expires_at)
ON CONFLICT (id) DO NOTHING;

-- name: WithdrawInvitations :many
-- A new invitation takes the place of those that the address has.
DELETE FROM invitations WHERE email = @email AND accepted_at IS NULL
RETURNING role_key;

-- name: WithdrawInvitation :one
DELETE FROM invitations WHERE id = @id AND accepted_at IS NULL AND expires_at > @at
RETURNING id, email, role_key, expires_at, invited_by;

-- name: ListOpenInvitations :many
-- The newest first: ids are UUIDv7.
SELECT i.id, i.email, i.expires_at, i.invited_by, sqlc.embed(r)
FROM invitations i
JOIN roles r ON r.key = i.role_key
WHERE i.accepted_at IS NULL AND i.expires_at > @at
  AND (sqlc.narg(after)::uuid IS NULL OR i.id < sqlc.narg(after)::uuid)
ORDER BY i.id DESC
LIMIT @page_size;

-- name: CountOpenInvitations :one
SELECT count(*) FROM invitations WHERE accepted_at IS NULL AND expires_at > @at;

-- name: GetInvitationByCode :one
SELECT id, email, expires_at, accepted_at FROM invitations WHERE code_hash = @code_hash;

-- name: LockInvitation :one
-- Of two that accept at once, the second sees that it is done.
SELECT email, role_key, accepted_at FROM invitations WHERE id = @id FOR UPDATE;

-- name: AcceptInvitation :exec
UPDATE invitations SET accepted_at = @at WHERE id = @id AND accepted_at IS NULL;

-- name: GetInvitationLetter :one
-- What the mail of an open invitation tells. The inviter may be nobody of this tenant.
SELECT i.email, i.code_hash, i.expires_at, r.name AS role, coalesce(nullif(u.display_name, ''), u.email, '') AS invited_by
FROM invitations i
JOIN roles r ON r.key = i.role_key
LEFT JOIN users u ON u.id = i.invited_by
WHERE i.id = @id AND i.accepted_at IS NULL AND i.expires_at > @at;
