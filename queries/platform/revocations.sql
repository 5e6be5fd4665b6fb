-- name: InsertRevocation :exec
INSERT INTO revocations (kind, subject, tenant_id, created_at, expires_at)
VALUES (@kind, @subject, @tenant_id, @at, @expires_at);

-- name: PollRevocations :many
-- Every transaction below snapshot_xmin has ended, so that the next poll may
-- begin there and misses no row that commits late, which a sequence would. One
-- row comes back even if there is no revocation: it carries the cursor.
SELECT pg_snapshot_xmin(snapshot.taken)::text AS next_cursor, r.kind, r.subject, r.tenant_id, r.created_at, r.expires_at
FROM (SELECT pg_current_snapshot() AS taken) AS snapshot
LEFT JOIN revocations r ON r.xid >= CAST(@cursor::text AS xid8) AND r.expires_at > @at;

-- name: DeleteRevocations :execrows
DELETE FROM revocations WHERE expires_at < @expired_before::timestamptz;
