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
