-- permissions_of tells of many users in one statement: those whose live events come
-- at the same moment. As before, it is the router's only way into tenants' schemas,
-- and what it sets ends with it. The query is that of ListPermissionsOfUsers.
DROP FUNCTION permissions_of(uuid, uuid);
CREATE FUNCTION permissions_of(tenant uuid, subjects uuid[]) RETURNS TABLE (user_id uuid, permissions text[])
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
                'SELECT ur.user_id, r.permissions FROM %1$I.user_roles ur'
                ' JOIN %1$I.roles r ON r.id = ur.role_id JOIN %1$I.users u ON u.id = ur.user_id'
                ' WHERE ur.user_id = ANY($1) AND u.state = ''active''', place) USING subjects;
            PERFORM set_config('app.tenant_id', coalesce(before, ''), true);
        END
    $$;
REVOKE EXECUTE ON FUNCTION permissions_of(uuid, uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION permissions_of(uuid, uuid[]) TO svc_router;
ALTER FUNCTION permissions_of(uuid, uuid[]) OWNER TO tradesage_provisioner;
