-- name: UpsertInvitation :exec
-- Idempotent: provisioning may run it again.
INSERT INTO invitations (id, email, role_key, code_hash, invited_by, expires_at)
VALUES (@id, @email, @role_key, @code_hash, sqlc.narg(invited_by), @expires_at)
ON CONFLICT (id) DO NOTHING;
