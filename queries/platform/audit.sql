-- name: InsertAuditEvent :exec
INSERT INTO audit_events (id, tenant_id, actor_id, session_id, action, target, request_id, details)
VALUES (@id, sqlc.narg(tenant_id), sqlc.narg(actor_id), sqlc.narg(session_id), @action, @target, @request_id, @details);

-- name: CopyAuditEvent :exec
-- Idempotent: the relay may deliver an event twice.
INSERT INTO audit_events (id, tenant_id, actor_id, session_id, action, target, request_id, details, created_at)
VALUES (@id, sqlc.narg(tenant_id), sqlc.narg(actor_id), sqlc.narg(session_id), @action, @target, @request_id, @details, @created_at)
ON CONFLICT (id) DO NOTHING;
