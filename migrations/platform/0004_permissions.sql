-- A change of roles travels like a revocation: it ends what the processes knew
-- of a user's permissions, or, with the tenant as subject, of all its users'.
ALTER TABLE revocations DROP CONSTRAINT revocations_kind_check;
ALTER TABLE revocations ADD CONSTRAINT revocations_kind_check
    CHECK (kind IN ('session', 'user', 'tenant', 'permissions'));

-- A tenant's administrators deactivate their users and change their roles; row
-- level security keeps them to their tenant's memberships.
GRANT UPDATE (state, epoch) ON memberships TO platform_scoped;
