-- Live events leave a transaction through the outbox, also one that sees the
-- platform as a single tenant: the policy lets it write for that tenant only.

CREATE POLICY tenant_isolation ON outbox FOR INSERT TO platform_scoped
    WITH CHECK (tenant_id = current_setting('app.tenant_id')::uuid);
GRANT INSERT (tenant_id, kind, body) ON outbox TO platform_scoped;

-- The relay records what it gave up, and a record is announced.
GRANT INSERT ON outbox TO svc_relay;
