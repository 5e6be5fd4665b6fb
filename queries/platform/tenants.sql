-- name: ResolveTenant :one
SELECT id::uuid AS id, schema_name::text AS schema_name, shard::smallint AS shard, state::text AS state, plan::text AS plan
FROM resolve_tenant(@tenant_id::uuid);

-- name: GetTenant :one
SELECT id, state, slug, name, domain, plan, created_at, updated_at
FROM tenants
WHERE id = @id AND state <> 'blank';

-- name: GetTenantsByID :many
SELECT id, state, slug, name, domain, plan, created_at, updated_at
FROM tenants
WHERE id = ANY(@ids::uuid[]) AND state <> 'blank';

-- name: GetTenantIDBySlug :one
SELECT id FROM tenants WHERE slug = @slug;

-- name: ClaimBlank :one
-- SKIP LOCKED: claims at the same moment take different blanks and never wait.
-- While the fleet is migrated, blanks of the older version are left alone.
UPDATE tenants
SET state = 'provisioning', slug = @slug, name = @name, domain = sqlc.narg(domain), plan = @plan,
    claimed_at = now(), updated_at = now()
WHERE id = (
    SELECT b.id FROM tenants b
    WHERE b.state = 'blank'
      AND b.schema_version = (SELECT max(v.schema_version) FROM tenants v)
    ORDER BY b.created_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED)
RETURNING id, schema_name, shard, state, slug, name, domain, plan, created_at, updated_at;

-- name: SetTenantPlan :one
-- The former plan is for the record; FOR UPDATE, so that of two changes at once each
-- tells what it has really changed.
WITH before AS (
    SELECT b.id, b.plan FROM tenants b WHERE b.slug = @slug AND b.state NOT IN ('blank', 'deleting') FOR UPDATE
)
UPDATE tenants t SET plan = @plan, updated_at = now()
FROM before
WHERE t.id = before.id
RETURNING t.id, before.plan AS former;

-- name: ActivateTenant :execrows
UPDATE tenants SET state = 'active', updated_at = now()
WHERE id = @id AND state = 'provisioning';

-- name: CountBlanks :one
-- Those that ClaimBlank would take.
SELECT count(*) FROM tenants b
WHERE b.state = 'blank'
  AND b.schema_version = (SELECT max(v.schema_version) FROM tenants v);

-- name: NewBlank :exec
SELECT new_blank(@tenant_id::uuid, @schema_name::text);

-- name: TryRefillLock :one
SELECT pg_try_advisory_xact_lock(7203001);

-- name: GetIdempotencyKey :one
SELECT request_hash, result FROM idempotency_keys
WHERE actor_id = @actor_id AND operation = @operation AND key = @key;

-- name: InsertIdempotencyKey :exec
INSERT INTO idempotency_keys (actor_id, operation, key, request_hash, result)
VALUES (@actor_id, @operation, @key, @request_hash, @result);
