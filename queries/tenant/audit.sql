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
