-- name: UpsertBuiltInRoles :execrows
-- One statement for all: ids, keys and names are parallel lists, permissions
-- are joined by commas because an array of arrays would have to be square.
INSERT INTO roles (id, key, name, permissions, built_in)
SELECT unnest(@ids::uuid[]), unnest(@keys::text[]), unnest(@names::text[]),
       string_to_array(unnest(@permissions::text[]), ','), true
ON CONFLICT (key) DO NOTHING;

-- name: AssignRole :one
-- Without a role of that key there is no row: nobody joins with no role unnoticed.
WITH named AS (
    SELECT @user_id::uuid AS user_id, r.id FROM roles r WHERE r.key = @role_key
), given AS (
    INSERT INTO user_roles (user_id, role_id)
    SELECT n.user_id, n.id FROM named n
    ON CONFLICT DO NOTHING
)
SELECT n.id FROM named n;

-- name: ListPermissions :many
SELECT DISTINCT unnest(r.permissions)::text AS permission
FROM user_roles ur
JOIN roles r ON r.id = ur.role_id
JOIN users u ON u.id = ur.user_id
WHERE ur.user_id = @user_id AND u.state = 'active'
ORDER BY 1;

-- name: ListPermissionsOfUsers :many
-- A row for each role of each of them.
SELECT ur.user_id, r.permissions
FROM user_roles ur
JOIN roles r ON r.id = ur.role_id
JOIN users u ON u.id = ur.user_id
WHERE ur.user_id = ANY(@user_ids::uuid[]) AND u.state = 'active';

-- name: LockRoles :many
-- Changes of people and roles take turns: what they decide by must hold until
-- they end. Assignments by others may go on, hence NO KEY.
SELECT *
FROM roles
ORDER BY id
FOR NO KEY UPDATE;

-- name: ListRoles :many
SELECT *
FROM roles
ORDER BY built_in DESC, key
LIMIT 100;

-- name: GetRolesByID :many
SELECT *
FROM roles
WHERE id = ANY(@ids::uuid[]);

-- name: ListRolesOfUsers :many
SELECT ur.user_id, sqlc.embed(r)
FROM user_roles ur
JOIN roles r ON r.id = ur.role_id
WHERE ur.user_id = ANY(@user_ids::uuid[])
ORDER BY ur.user_id, r.built_in DESC, r.key;

-- name: CreateRole :exec
INSERT INTO roles (id, key, name, permissions) VALUES (@id, @key, @name, @permissions::text[]);

-- name: UpdateRole :exec
UPDATE roles SET name = @name, permissions = @permissions::text[] WHERE id = @id AND NOT built_in;

-- name: GrantRole :execrows
INSERT INTO user_roles (user_id, role_id) VALUES (@user_id, @role_id)
ON CONFLICT DO NOTHING;

-- name: UnassignRole :execrows
DELETE FROM user_roles WHERE user_id = @user_id AND role_id = @role_id;

-- name: CountOtherHolders :one
-- Active users who hold a role, but for one.
SELECT count(*)
FROM user_roles ur
JOIN users u ON u.id = ur.user_id
WHERE ur.role_id = @role_id AND u.state = 'active' AND u.id <> @user_id;
