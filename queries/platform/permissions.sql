-- name: ListPermissionsOf :many
-- For the router, which cannot ask in the tenant's schema.
SELECT permission::text AS permission FROM permissions_of(@tenant_id::uuid, @subject::uuid);
