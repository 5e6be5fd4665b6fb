-- permissions_of is how the router knows what a caller may do: the names of one
-- user's permissions, and no other way into tenants' schemas, whose logins it
-- does not have. The query is that of ListPermissions. What it sets ends with it.
CREATE FUNCTION permissions_of(tenant uuid, subject uuid) RETURNS TABLE (permission text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
        DECLARE
            place  text;
            before text := current_setting('app.tenant_id', true);
        BEGIN
            SELECT t.schema_name INTO place FROM platform.tenants t WHERE t.id = tenant AND t.state <> 'blank';
            IF NOT FOUND THEN
                RETURN;
            END IF;
            PERFORM set_config('app.tenant_id', tenant::text, true);
            RETURN QUERY EXECUTE format(
                'SELECT DISTINCT unnest(r.permissions)::text FROM %1$I.user_roles ur'
                ' JOIN %1$I.roles r ON r.id = ur.role_id JOIN %1$I.users u ON u.id = ur.user_id'
                ' WHERE ur.user_id = $1 AND u.state = ''active'' ORDER BY 1', place) USING subject;
            PERFORM set_config('app.tenant_id', coalesce(before, ''), true);
        END
    $$;
REVOKE EXECUTE ON FUNCTION permissions_of(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION permissions_of(uuid, uuid) TO svc_router;
ALTER FUNCTION permissions_of(uuid, uuid) OWNER TO tradesage_provisioner;
