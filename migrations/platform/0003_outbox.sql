-- What must happen because of a committed change, and the record of changes.

CREATE TABLE outbox (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id       uuid,
    kind            text NOT NULL CHECK (kind ~ '^[a-z_]+(\.[a-z_]+)*$' AND char_length(kind) <= 64),
    body            jsonb NOT NULL CHECK (octet_length(body::text) <= 65536),
    created_at      timestamptz NOT NULL DEFAULT now(),
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    last_error      text
);
CREATE INDEX outbox_due_idx ON outbox (next_attempt_at, id);

CREATE TABLE audit_events (
    id         uuid PRIMARY KEY,
    -- Null where no tenant is concerned, as for a sign-in that failed.
    tenant_id  uuid,
    actor_id   uuid,
    session_id uuid,
    action     text NOT NULL CHECK (char_length(action) <= 64),
    target     text NOT NULL DEFAULT '' CHECK (char_length(target) <= 256),
    request_id text NOT NULL DEFAULT '' CHECK (char_length(request_id) <= 64),
    details    jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_events_tenant_idx ON audit_events (tenant_id, id DESC);

-- The answer to a creating mutation, kept so that a retry with the same key
-- gets the same answer.
CREATE TABLE idempotency_keys (
    actor_id     uuid NOT NULL,
    operation    text NOT NULL CHECK (char_length(operation) <= 64),
    key          text NOT NULL CHECK (char_length(key) BETWEEN 1 AND 128),
    request_hash bytea NOT NULL,
    result       uuid NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (actor_id, operation, key)
);

ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE outbox FORCE ROW LEVEL SECURITY;
CREATE POLICY administration ON outbox TO tradesage_owner, svc_auth, svc_tenant, svc_relay
    USING (true) WITH CHECK (true);

ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON audit_events TO platform_scoped
    USING (tenant_id = current_setting('app.tenant_id')::uuid)
    WITH CHECK (tenant_id = current_setting('app.tenant_id')::uuid);
CREATE POLICY administration ON audit_events TO tradesage_owner, svc_auth, svc_tenant, svc_relay
    USING (true) WITH CHECK (true);

GRANT INSERT ON outbox TO svc_auth, svc_tenant;
GRANT SELECT, UPDATE, DELETE ON outbox TO svc_relay;
GRANT INSERT ON audit_events TO svc_auth, svc_tenant, svc_relay, platform_scoped;
GRANT SELECT ON audit_events TO platform_scoped, svc_auth;
-- The relay skips an event that it has copied before, which takes reading its id.
GRANT SELECT (id) ON audit_events TO svc_relay;
GRANT SELECT, INSERT ON idempotency_keys TO svc_tenant;

-- emit records what must happen because of a tenant's own write, in the same
-- transaction. The tenant is taken from the session: the role and the setting
-- must name the same one.
CREATE FUNCTION emit(kind text, body jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        DECLARE
            tenant uuid;
        BEGIN
            SELECT t.id INTO tenant FROM platform.tenants t
                WHERE t.id = current_setting('app.tenant_id')::uuid
                  AND current_setting('role') IN (t.schema_name, 'platform_scoped');
            IF NOT FOUND THEN
                RAISE EXCEPTION 'the role and the tenant of this session do not match'
                    USING ERRCODE = 'insufficient_privilege';
            END IF;
            INSERT INTO platform.outbox (tenant_id, kind, body) VALUES (tenant, kind, body);
        END
    $$;
