-- name: UpsertInvitation :exec
-- Idempotent: provisioning may run it again.
INSERT INTO invitations (id, email, role_key, code_hash, invited_by, expires_at)
VALUES (@id, @email, @role_key, @code_hash, sqlc.narg(invited_by), @expires_at)
ON CONFLICT (id) DO NOTHING;

-- name: WithdrawInvitations :execrows
-- A new invitation takes the place of those that the address has.
DELETE FROM invitations WHERE email = @email AND accepted_at IS NULL;

-- name: CountOpenInvitations :one
SELECT count(*) FROM invitations WHERE accepted_at IS NULL AND expires_at > @at;
