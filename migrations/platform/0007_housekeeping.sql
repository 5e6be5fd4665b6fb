-- What is deleted once it has expired. The relay's login runs the jobs; the
-- policy lets it see and delete expired sessions only, whatever it asks for.

CREATE INDEX sessions_expiry_idx ON sessions (expires_at);
CREATE INDEX idempotency_keys_created_idx ON idempotency_keys (created_at);

CREATE POLICY housekeeping ON sessions TO svc_relay
    USING (expires_at < now() - interval '30 days') WITH CHECK (false);

GRANT SELECT (id, expires_at), DELETE ON sessions TO svc_relay;
GRANT SELECT (actor_id, operation, key, created_at), DELETE ON idempotency_keys TO svc_relay;
