-- name: RaiseEpoch :execrows
-- Of one member, or of all with the tenant's own id as subject.
UPDATE memberships SET epoch = epoch + 1
WHERE tenant_id = @tenant_id AND (identity_id = @subject OR tenant_id = @subject);

-- name: DisableMembership :execrows
-- Idempotent. It waits for a sign-in that is under way and is seen by the next.
UPDATE memberships SET state = 'disabled', epoch = epoch + 1
WHERE tenant_id = @tenant_id AND identity_id = @identity_id AND state <> 'disabled';

-- name: EndUserSessions :execrows
UPDATE sessions SET revoked_at = @at::timestamptz, revoke_reason = @reason::text
WHERE tenant_id = @tenant_id AND identity_id = @identity_id AND revoked_at IS NULL;

-- name: ListMemberships :many
-- The tenants that a person belongs to, as that person may see them.
SELECT m.created_at AS joined_at, t.id, t.state, t.slug, t.name, t.domain, t.plan, t.created_at, t.updated_at
FROM memberships m
JOIN tenants t ON t.id = m.tenant_id
WHERE m.identity_id = @identity_id AND m.state = 'active' AND t.state <> 'blank'
ORDER BY t.slug
LIMIT 100;

-- name: ListMembersByID :many
-- These people's places in one tenant, with that tenant.
SELECT m.identity_id, m.created_at AS joined_at, t.id, t.state, t.slug, t.name, t.domain, t.plan, t.created_at, t.updated_at
FROM memberships m
JOIN tenants t ON t.id = m.tenant_id
WHERE m.tenant_id = @tenant_id AND m.identity_id = ANY(@identity_ids::uuid[]) AND m.state = 'active';
