-- name: LockKeys :exec
-- One process at a time makes or rotates keys.
SELECT pg_advisory_xact_lock(7203002);

-- name: ListSigningKeys :many
-- For the issuer: only svc_auth may read the private part.
SELECT kid, state, public_key, private_sealed, created_at, activated_at, retired_at
FROM signing_keys
ORDER BY created_at, kid;

-- name: ListVerificationKeys :many
SELECT kid, state, public_key, created_at, activated_at, retired_at
FROM signing_keys
ORDER BY created_at, kid;

-- name: ListClaimKeys :many
SELECT kid, state, key_sealed, created_at, activated_at, retired_at
FROM claim_keys
ORDER BY created_at, kid;

-- name: InsertSigningKey :exec
INSERT INTO signing_keys (kid, state, public_key, private_sealed, created_at, activated_at)
VALUES (@kid, @state, @public_key, @private_sealed, @created_at, sqlc.narg(activated_at));

-- name: InsertClaimKey :exec
INSERT INTO claim_keys (kid, state, key_sealed, created_at, activated_at)
VALUES (@kid, @state, @key_sealed, @created_at, sqlc.narg(activated_at));

-- name: RetireSigningKey :exec
UPDATE signing_keys SET state = 'retired', retired_at = @at WHERE state = 'active';

-- name: RetireClaimKey :exec
UPDATE claim_keys SET state = 'retired', retired_at = @at WHERE state = 'active';

-- name: ActivateSigningKey :exec
UPDATE signing_keys SET state = 'active', activated_at = @at WHERE kid = @kid AND state = 'next';

-- name: ActivateClaimKey :exec
UPDATE claim_keys SET state = 'active', activated_at = @at WHERE kid = @kid AND state = 'next';

-- name: DeleteSigningKeys :execrows
DELETE FROM signing_keys WHERE state = 'retired' AND retired_at < @retired_before::timestamptz;

-- name: DeleteClaimKeys :execrows
DELETE FROM claim_keys WHERE state = 'retired' AND retired_at < @retired_before::timestamptz;
