-- name: UpsertBuiltInRoles :execrows
-- One statement for all: ids, keys and names are parallel lists, permissions
-- are joined by commas because an array of arrays would have to be square.
INSERT INTO roles (id, key, name, permissions, built_in)
SELECT unnest(@ids::uuid[]), unnest(@keys::text[]), unnest(@names::text[]),
       string_to_array(unnest(@permissions::text[]), ','), true
ON CONFLICT (key) DO NOTHING;

-- name: AssignRole :exec
INSERT INTO user_roles (user_id, role_id)
SELECT @user_id::uuid, r.id FROM roles r WHERE r.key = @role_key
ON CONFLICT DO NOTHING;

-- name: ListPermissions :many
SELECT DISTINCT unnest(r.permissions)::text AS permission
FROM user_roles ur
JOIN roles r ON r.id = ur.role_id
JOIN users u ON u.id = ur.user_id
WHERE ur.user_id = @user_id AND u.state = 'active'
ORDER BY 1;
