-- name: InsertAuditEvent :exec
-- One statement writes the event and, where a tenant is concerned, announces it
-- to those who follow the tenant's activity.
WITH event AS (
    INSERT INTO audit_events (id, tenant_id, actor_id, session_id, action, target, request_id, details)
    VALUES (@id, sqlc.narg(tenant_id)::uuid, sqlc.narg(actor_id)::uuid, sqlc.narg(session_id)::uuid, @action::text, @target::text, @request_id, @details)
)
INSERT INTO outbox (tenant_id, kind, body)
SELECT sqlc.narg(tenant_id)::uuid, 'audit.activity', jsonb_build_object(
    'id', @id::uuid, 'actor_id', sqlc.narg(actor_id)::uuid, 'session_id', sqlc.narg(session_id)::uuid,
    'action', @action::text, 'target', @target::text, 'created_at', now())
WHERE sqlc.narg(tenant_id)::uuid IS NOT NULL;

-- name: CopyAuditEvent :exec
-- Idempotent: the relay may deliver an event twice.
INSERT INTO audit_events (id, tenant_id, actor_id, session_id, action, target, request_id, details, created_at)
VALUES (@id, sqlc.narg(tenant_id), sqlc.narg(actor_id), sqlc.narg(session_id), @action, @target, @request_id, @details, @created_at)
ON CONFLICT (id) DO NOTHING;
