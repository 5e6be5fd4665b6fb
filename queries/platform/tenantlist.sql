-- name: ListTenantsByCreatedAtAscending :many
-- One list in six orders, each along an index. after is below, or above, all keys for
-- the first page: a comparison that may be left out would not use the index.
SELECT id, state, slug, name, domain, plan, created_at, updated_at, ''::text AS key
FROM tenants
WHERE state <> 'blank'
  AND (sqlc.narg(state)::text IS NULL OR state = sqlc.narg(state)::text)
  AND (sqlc.narg(search)::text IS NULL OR position(lower(sqlc.narg(search)::text) IN slug) > 0
       OR position(lower(sqlc.narg(search)::text) IN lower(name)) > 0 OR position(lower(sqlc.narg(search)::text) IN domain) > 0)
  AND (created_at, id) > (@after_at::timestamptz, @after_id::uuid)
ORDER BY created_at, id
LIMIT @page_size;

-- name: ListTenantsByCreatedAtDescending :many
SELECT id, state, slug, name, domain, plan, created_at, updated_at, ''::text AS key
FROM tenants
WHERE state <> 'blank'
  AND (sqlc.narg(state)::text IS NULL OR state = sqlc.narg(state)::text)
  AND (sqlc.narg(search)::text IS NULL OR position(lower(sqlc.narg(search)::text) IN slug) > 0
       OR position(lower(sqlc.narg(search)::text) IN lower(name)) > 0 OR position(lower(sqlc.narg(search)::text) IN domain) > 0)
  AND (created_at, id) < (@after_at::timestamptz, @after_id::uuid)
ORDER BY created_at DESC, id DESC
LIMIT @page_size;

-- name: ListTenantsByNameAscending :many
SELECT id, state, slug, name, domain, plan, created_at, updated_at, left(lower(name), 60)::text AS key
FROM tenants
WHERE state <> 'blank'
  AND (sqlc.narg(state)::text IS NULL OR state = sqlc.narg(state)::text)
  AND (sqlc.narg(search)::text IS NULL OR position(lower(sqlc.narg(search)::text) IN slug) > 0
       OR position(lower(sqlc.narg(search)::text) IN lower(name)) > 0 OR position(lower(sqlc.narg(search)::text) IN domain) > 0)
  AND (left(lower(name), 60) COLLATE "C", id) > (@after_key::text, @after_id::uuid)
ORDER BY left(lower(name), 60) COLLATE "C", id
LIMIT @page_size;

-- name: ListTenantsByNameDescending :many
SELECT id, state, slug, name, domain, plan, created_at, updated_at, left(lower(name), 60)::text AS key
FROM tenants
WHERE state <> 'blank'
  AND (sqlc.narg(state)::text IS NULL OR state = sqlc.narg(state)::text)
  AND (sqlc.narg(search)::text IS NULL OR position(lower(sqlc.narg(search)::text) IN slug) > 0
       OR position(lower(sqlc.narg(search)::text) IN lower(name)) > 0 OR position(lower(sqlc.narg(search)::text) IN domain) > 0)
  AND (left(lower(name), 60) COLLATE "C", id) < (@after_key::text, @after_id::uuid)
ORDER BY left(lower(name), 60) COLLATE "C" DESC, id DESC
LIMIT @page_size;

-- name: ListTenantsBySlugAscending :many
SELECT id, state, slug, name, domain, plan, created_at, updated_at, coalesce(slug, '')::text AS key
FROM tenants
WHERE state <> 'blank'
  AND (sqlc.narg(state)::text IS NULL OR state = sqlc.narg(state)::text)
  AND (sqlc.narg(search)::text IS NULL OR position(lower(sqlc.narg(search)::text) IN slug) > 0
       OR position(lower(sqlc.narg(search)::text) IN lower(name)) > 0 OR position(lower(sqlc.narg(search)::text) IN domain) > 0)
  AND (slug COLLATE "C", id) > (@after_key::text, @after_id::uuid)
ORDER BY slug COLLATE "C", id
LIMIT @page_size;

-- name: ListTenantsBySlugDescending :many
SELECT id, state, slug, name, domain, plan, created_at, updated_at, coalesce(slug, '')::text AS key
FROM tenants
WHERE state <> 'blank'
  AND (sqlc.narg(state)::text IS NULL OR state = sqlc.narg(state)::text)
  AND (sqlc.narg(search)::text IS NULL OR position(lower(sqlc.narg(search)::text) IN slug) > 0
       OR position(lower(sqlc.narg(search)::text) IN lower(name)) > 0 OR position(lower(sqlc.narg(search)::text) IN domain) > 0)
  AND (slug COLLATE "C", id) < (@after_key::text, @after_id::uuid)
ORDER BY slug COLLATE "C" DESC, id DESC
LIMIT @page_size;
