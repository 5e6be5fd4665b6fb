-- name: ListPermissionsOf :many
-- For the router, which cannot ask in the tenant's schema: a row for each role of
-- each of these users.
SELECT user_id::uuid AS user_id, permissions::text[] AS permissions
FROM permissions_of(@tenant_id::uuid, @subjects::uuid[]);
