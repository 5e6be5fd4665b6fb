-- name: GetLogin :one
-- What a sign-in is checked against; the hash is null for an identity without a password.
SELECT i.id, i.email, i.state, p.hash
FROM identities i
LEFT JOIN password_credentials p ON p.identity_id = i.id
WHERE i.email = @email;

-- name: ListLoginTenants :many
-- The tenants to choose from, those that are open first. Who belongs to more
-- names one: GetLoginTenant.
SELECT m.tenant_id, m.epoch, t.slug, t.name, t.state
FROM memberships m
JOIN tenants t ON t.id = m.tenant_id
WHERE m.identity_id = @identity_id AND m.state = 'active' AND t.state <> 'blank'
ORDER BY t.state <> 'active', t.slug
LIMIT 100;

-- name: GetLoginTenant :one
-- One of an identity's tenants, by its id or its slug, whatever state it is in. A
-- slug that looks like an id does not hide the tenant of that id.
SELECT m.tenant_id, m.epoch, t.slug, t.name, t.state
FROM memberships m
JOIN tenants t ON t.id = m.tenant_id
WHERE m.identity_id = @identity_id AND m.state = 'active' AND t.state <> 'blank'
  AND (t.slug = @slug::text OR t.id = sqlc.narg(id)::uuid)
ORDER BY t.id = sqlc.narg(id)::uuid DESC NULLS LAST
LIMIT 1;

-- name: CreateIdentity :exec
-- Idempotent: an address that is taken keeps its identity.
INSERT INTO identities (id, email, email_verified_at) VALUES (@id, @email, sqlc.narg(email_verified_at))
ON CONFLICT (email) DO NOTHING;

-- name: GetIdentityIDByEmail :one
SELECT id FROM identities WHERE email = @email;

-- name: SetFirstPassword :execrows
-- Never replaces a password: that is a change, with its own checks.
INSERT INTO password_credentials (identity_id, hash, changed_at) VALUES (@identity_id, @hash, @changed_at)
ON CONFLICT (identity_id) DO NOTHING;

-- name: AddMembership :exec
-- Idempotent, and never revives a membership that was disabled.
INSERT INTO memberships (identity_id, tenant_id) VALUES (@identity_id, @tenant_id)
ON CONFLICT (identity_id, tenant_id) DO UPDATE SET state = 'active'
WHERE memberships.state = 'invited';

-- name: GetCredential :one
SELECT i.email, p.hash
FROM identities i
JOIN password_credentials p ON p.identity_id = i.id
WHERE i.id = @id AND i.state = 'active';

-- name: ReplacePassword :execrows
-- credential is the SHA-256 of the hash that was checked.
UPDATE password_credentials p SET hash = @hash, changed_at = @at::timestamptz
WHERE p.identity_id = @identity_id AND sha256(convert_to(p.hash, 'UTF8')) = @credential::bytea;

-- name: ConfirmEmail :exec
UPDATE identities SET email_verified_at = coalesce(email_verified_at, @at::timestamptz) WHERE id = @id;
