-- name: InsertAuditEvent :exec
-- One statement writes the event and sends its copy to the platform.
WITH event AS (
    INSERT INTO audit_events (id, actor_id, session_id, action, target, request_id, details)
    VALUES (@id, sqlc.narg(actor_id), sqlc.narg(session_id), @action, @target, @request_id, @details)
    RETURNING id, actor_id, session_id, action, target, request_id, details, created_at
)
SELECT platform.emit('audit.copy', to_jsonb(event)) FROM event;

-- name: Emit :exec
SELECT platform.emit(@kind::text, @body::jsonb);

-- name: ListAuditEvents :many
-- Newest first: ids are UUIDv7.
SELECT id, actor_id, session_id, action, target, request_id, details, created_at
FROM audit_events
WHERE (sqlc.narg(action)::text IS NULL OR action = sqlc.narg(action)::text)
  AND (sqlc.narg(actor_id)::uuid IS NULL OR actor_id = sqlc.narg(actor_id)::uuid)
  AND (sqlc.narg(target)::text IS NULL OR target = sqlc.narg(target)::text)
  AND (sqlc.narg(from_time)::timestamptz IS NULL OR created_at >= sqlc.narg(from_time)::timestamptz)
  AND (sqlc.narg(to_time)::timestamptz IS NULL OR created_at < sqlc.narg(to_time)::timestamptz)
  AND (sqlc.narg(after)::uuid IS NULL OR id < sqlc.narg(after)::uuid)
ORDER BY id DESC
LIMIT @page_size;

-- name: ListAuditEventsOfUsers :many
-- A page of what each of these did, the newest first, in one statement for all.
SELECT l.id, l.actor_id, l.session_id, l.action, l.target, l.request_id, l.details, l.created_at
FROM unnest(@actor_ids::uuid[]) AS wanted(actor_id)
CROSS JOIN LATERAL (
    SELECT a.id, a.actor_id, a.session_id, a.action, a.target, a.request_id, a.details, a.created_at
    FROM audit_events a
    WHERE a.actor_id = wanted.actor_id AND (sqlc.narg(after)::uuid IS NULL OR a.id < sqlc.narg(after)::uuid)
    ORDER BY a.id DESC
    LIMIT @page_size) l
ORDER BY l.actor_id, l.id DESC;
