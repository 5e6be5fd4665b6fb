-- A tenant's plan decides its limits: whoever finds a tenant hears of it, so that
-- no request asks for it alone. Plans are given by svc_tenant, for operators.
ALTER TABLE tenants ADD CONSTRAINT tenants_plan_check CHECK (plan ~ '^[a-z][a-z0-9_-]{0,31}$');

DROP FUNCTION resolve_tenant(uuid);
CREATE FUNCTION resolve_tenant(tenant uuid)
    RETURNS TABLE (id uuid, schema_name text, shard smallint, state text, plan text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, platform, pg_temp
    AS $$
        SELECT t.id, t.schema_name, t.shard, t.state, t.plan
        FROM platform.tenants t
        WHERE t.id = tenant AND t.state <> 'blank'
    $$;
REVOKE EXECUTE ON FUNCTION resolve_tenant(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION resolve_tenant(uuid)
    TO svc_auth, svc_tenant, svc_user, svc_session, svc_router, svc_relay, svc_verify;
