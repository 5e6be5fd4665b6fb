-- The directory of tenants, the shards whose logins may enter them, and the
-- DDL that makes a new one.

CREATE TABLE shards (
    id       smallint PRIMARY KEY,
    login    text NOT NULL UNIQUE CHECK (login ~ '^app_s[0-9]{2,3}$'),
    -- A login that belongs to more roles than this slows every grant and connection.
    capacity integer NOT NULL DEFAULT 300 CHECK (capacity > 0),
    tenants  integer NOT NULL DEFAULT 0 CHECK (tenants >= 0 AND tenants <= capacity)
);

CREATE TABLE tenants (
    id             uuid PRIMARY KEY,
    schema_name    text NOT NULL UNIQUE CHECK (schema_name ~ '^tenant_[a-z2-7]{26}$'),
    shard          smallint NOT NULL REFERENCES shards (id),
    -- The database cluster that holds the tenant's schema.
    cell           text NOT NULL DEFAULT 'main',
    state          text NOT NULL DEFAULT 'blank'
                   CONSTRAINT tenants_state_check CHECK (state IN ('blank', 'provisioning', 'active', 'suspended', 'deleting')),
    schema_version integer NOT NULL,
    slug           text CONSTRAINT tenants_slug_check CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    name           text CONSTRAINT tenants_name_check CHECK (char_length(name) BETWEEN 1 AND 200),
    domain         text CONSTRAINT tenants_domain_check CHECK (char_length(domain) <= 253),
    plan           text NOT NULL DEFAULT 'standard',
    created_at     timestamptz NOT NULL DEFAULT now(),
    claimed_at     timestamptz,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenants_slug_key UNIQUE (slug),
    CONSTRAINT tenants_domain_key UNIQUE (domain),
    CONSTRAINT tenants_blank_check CHECK ((state = 'blank') = (slug IS NULL) AND (state = 'blank') = (name IS NULL))
);
CREATE INDEX tenants_blank_idx ON tenants (created_at) WHERE state = 'blank';
CREATE INDEX tenants_version_idx ON tenants (schema_version);

-- One row a tenant migration: the file's text with its sealing, in which
-- {tenant_id} and {tenant_role} stand for the tenant.
CREATE TABLE tenant_blueprints (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    ddl        text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Tenants whose migration failed on the last run, kept until it succeeds.
CREATE TABLE migration_failures (
    tenant_id uuid PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    version   integer NOT NULL,
    message   text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now()
);

CREATE VIEW tenant_schemas AS
    SELECT id AS tenant_id, schema_name, state, created_at FROM tenants;

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenants TO platform_scoped
    USING (id = current_setting('app.tenant_id')::uuid)
    WITH CHECK (id = current_setting('app.tenant_id')::uuid);
CREATE POLICY administration ON tenants
    TO tradesage_owner, tradesage_provisioner, svc_auth, svc_tenant
    USING (true) WITH CHECK (true);

ALTER TABLE migration_failures ENABLE ROW LEVEL SECURITY;
ALTER TABLE migration_failures FORCE ROW LEVEL SECURITY;
CREATE POLICY administration ON migration_failures TO tradesage_owner, tradesage_provisioner
    USING (true) WITH CHECK (true);

GRANT SELECT ON tenants, shards, tenant_blueprints TO tradesage_provisioner;
GRANT INSERT, UPDATE ON tenants TO tradesage_provisioner;
GRANT UPDATE ON shards TO tradesage_provisioner;
GRANT SELECT ON tenants TO svc_auth, svc_tenant;
GRANT UPDATE (state, slug, name, domain, plan, claimed_at, updated_at) ON tenants TO svc_tenant;
GRANT SELECT ON shards TO svc_tenant;
GRANT SELECT (id, state, slug, name, domain, plan, created_at, claimed_at, updated_at) ON tenants TO platform_scoped;

-- resolve_tenant is how every service finds a tenant's schema and shard: one
-- row by id, and no way to list.
CREATE FUNCTION resolve_tenant(tenant uuid)
    RETURNS TABLE (id uuid, schema_name text, shard smallint, state text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, platform, pg_temp
    AS $$
        SELECT t.id, t.schema_name, t.shard, t.state
        FROM platform.tenants t
        WHERE t.id = tenant AND t.state <> 'blank'
    $$;
REVOKE EXECUTE ON FUNCTION resolve_tenant(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION resolve_tenant(uuid) TO svc_auth, svc_tenant, svc_user, svc_session, svc_router, svc_relay;

-- new_blank makes one ready-made tenant: role, schema, sealed tables, and its
-- row here. Its owner may create roles; its callers may only call it, and what
-- it runs comes from tenant_blueprints, which no service can write.
CREATE FUNCTION new_blank(tenant uuid, schema text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        DECLARE
            place     record;
            blueprint record;
            latest    integer := 0;
        BEGIN
            IF tenant IS NULL OR schema IS NULL OR schema !~ '^tenant_[a-z2-7]{26}$' THEN
                RAISE EXCEPTION 'not a tenant schema name' USING ERRCODE = 'invalid_name';
            END IF;
            SELECT s.id, s.login INTO place FROM platform.shards s
                WHERE s.tenants < s.capacity ORDER BY s.tenants, s.id LIMIT 1 FOR UPDATE;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'every shard is full' USING ERRCODE = 'insufficient_resources';
            END IF;
            UPDATE platform.shards SET tenants = tenants + 1 WHERE id = place.id;
            EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', schema);
            EXECUTE format('GRANT %I TO %I', schema, place.login);
            EXECUTE format('CREATE SCHEMA %I', schema);
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', schema, schema);
            PERFORM set_config('search_path', quote_ident(schema), true);
            PERFORM set_config('app.tenant_id', tenant::text, true);
            FOR blueprint IN SELECT b.version, b.ddl FROM platform.tenant_blueprints b ORDER BY b.version LOOP
                EXECUTE replace(replace(blueprint.ddl, '{tenant_id}', tenant::text), '{tenant_role}', schema);
                latest := blueprint.version;
            END LOOP;
            IF latest = 0 THEN
                RAISE EXCEPTION 'no tenant blueprint: run the migrations first';
            END IF;
            INSERT INTO platform.tenants (id, schema_name, shard, state, schema_version)
                VALUES (tenant, schema, place.id, 'blank', latest);
        END
    $$;
REVOKE EXECUTE ON FUNCTION new_blank(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION new_blank(uuid, text) TO svc_tenant;
ALTER FUNCTION new_blank(uuid, text) OWNER TO tradesage_provisioner;
