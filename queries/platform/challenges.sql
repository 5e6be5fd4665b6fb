-- name: CreateChallenge :execrows
-- Not more than a few for one address in a while: nobody's mailbox is flooded.
INSERT INTO email_challenges (id, purpose, email, code_hash, password_hash, tenant_name, created_at, expires_at)
SELECT @id::uuid, @purpose::text, @email::text, @code_hash::bytea, sqlc.narg(password_hash)::text, sqlc.narg(tenant_name)::text,
       @at::timestamptz, @expires_at::timestamptz
WHERE (SELECT count(*) FROM email_challenges c
       WHERE c.email = @email::text AND c.purpose = @purpose::text AND c.created_at > @since::timestamptz) < @most::integer;

-- name: TakeChallengeMail :one
-- The transaction that sets mailed_at writes the mail: it is written once.
UPDATE email_challenges SET mailed_at = @at::timestamptz
WHERE id = @id AND mailed_at IS NULL AND used_at IS NULL AND expires_at > @at::timestamptz
RETURNING purpose, email, expires_at;

-- name: SetChallengeIdentity :exec
UPDATE email_challenges SET identity_id = @identity_id WHERE id = @id;

-- name: LockChallenge :one
-- Of two that bring a code at once, the second sees what the first did.
SELECT id, email, password_hash, tenant_name, identity_id, used_at
FROM email_challenges
WHERE code_hash = @code_hash AND purpose = @purpose AND expires_at > @at::timestamptz
FOR UPDATE;

-- name: UseChallenge :exec
-- The password's hash has gone where it belongs, or nowhere.
UPDATE email_challenges SET used_at = @at::timestamptz, identity_id = @identity_id, password_hash = NULL WHERE id = @id;

-- name: VoidResets :exec
-- Every code for a reset that an identity still holds.
UPDATE email_challenges SET used_at = @at::timestamptz
WHERE identity_id = @identity_id AND purpose = 'reset' AND used_at IS NULL;

-- name: DeleteChallenges :execrows
DELETE FROM email_challenges WHERE expires_at < @expired_before::timestamptz;
