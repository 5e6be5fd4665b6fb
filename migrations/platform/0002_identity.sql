-- Who can sign in, how, and to which tenants; sessions and the keys of tokens.

CREATE TABLE identities (
    id                uuid PRIMARY KEY,
    -- Normalised by the application: trimmed and lower case.
    email             text NOT NULL CONSTRAINT identities_email_check CHECK (email = lower(email) AND char_length(email) BETWEEN 3 AND 254),
    email_verified_at timestamptz,
    state             text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled')),
    created_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT identities_email_key UNIQUE (email)
);

CREATE TABLE password_credentials (
    identity_id uuid PRIMARY KEY REFERENCES identities (id) ON DELETE CASCADE,
    -- Argon2id in PHC string format.
    hash        text NOT NULL CHECK (hash LIKE '$argon2id$%'),
    changed_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE memberships (
    identity_id uuid NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
    tenant_id   uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    state       text NOT NULL DEFAULT 'active' CHECK (state IN ('invited', 'active', 'disabled')),
    -- Raised by every change of the user's roles; a token of an older epoch is renewed.
    epoch       bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (identity_id, tenant_id)
);
CREATE INDEX memberships_tenant_idx ON memberships (tenant_id);

CREATE TABLE sessions (
    id            uuid PRIMARY KEY,
    tenant_id     uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    identity_id   uuid NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
    device_id     uuid NOT NULL,
    user_agent    text NOT NULL DEFAULT '' CHECK (char_length(user_agent) <= 512),
    ip            text NOT NULL DEFAULT '' CHECK (char_length(ip) <= 64),
    -- Authentication methods, RFC 8176: pwd, otp, ...
    amr           text[] NOT NULL,
    auth_time     timestamptz NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    last_seen_at  timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    revoke_reason text CHECK (char_length(revoke_reason) <= 64)
);
CREATE INDEX sessions_identity_idx ON sessions (tenant_id, identity_id, id DESC);

-- Refresh tokens are opaque; only their SHA-256 is kept.
CREATE TABLE refresh_tokens (
    hash       bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    -- The family is the session; the generation counts its rotations.
    generation integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX refresh_tokens_session_idx ON refresh_tokens (session_id, generation DESC);

-- A revocation is a row here first; every process polls by transaction id, so
-- that a row that commits late is still seen.
CREATE TABLE revocations (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind       text NOT NULL CHECK (kind IN ('session', 'user', 'tenant')),
    -- The session, identity or tenant that is revoked; a user only within tenant_id.
    subject    uuid NOT NULL,
    tenant_id  uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- When the last token that it could concern has expired.
    expires_at timestamptz NOT NULL
);
CREATE INDEX revocations_xid_idx ON revocations (xid);
CREATE INDEX revocations_expiry_idx ON revocations (expires_at);

-- Ed25519 keys that sign access tokens. The private part is encrypted with the
-- service's master key, which is not in the database.
CREATE TABLE signing_keys (
    kid            text PRIMARY KEY,
    state          text NOT NULL CHECK (state IN ('next', 'active', 'retired')),
    public_key     bytea NOT NULL CHECK (octet_length(public_key) = 32),
    private_sealed bytea NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    activated_at   timestamptz,
    retired_at     timestamptz
);
CREATE UNIQUE INDEX signing_keys_one_active_idx ON signing_keys (state) WHERE state = 'active';

-- AES-256 keys that encrypt the tenant claim, themselves encrypted likewise.
CREATE TABLE claim_keys (
    kid          text PRIMARY KEY,
    state        text NOT NULL CHECK (state IN ('next', 'active', 'retired')),
    key_sealed   bytea NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    activated_at timestamptz,
    retired_at   timestamptz
);
CREATE UNIQUE INDEX claim_keys_one_active_idx ON claim_keys (state) WHERE state = 'active';

ALTER TABLE memberships ENABLE ROW LEVEL SECURITY;
ALTER TABLE memberships FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON memberships TO platform_scoped
    USING (tenant_id = current_setting('app.tenant_id')::uuid)
    WITH CHECK (tenant_id = current_setting('app.tenant_id')::uuid);
CREATE POLICY administration ON memberships TO tradesage_owner, svc_auth, svc_tenant
    USING (true) WITH CHECK (true);

ALTER TABLE sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON sessions TO platform_scoped
    USING (tenant_id = current_setting('app.tenant_id')::uuid)
    WITH CHECK (tenant_id = current_setting('app.tenant_id')::uuid);
CREATE POLICY administration ON sessions TO tradesage_owner, svc_auth, svc_router
    USING (true) WITH CHECK (true);

ALTER TABLE revocations ENABLE ROW LEVEL SECURITY;
ALTER TABLE revocations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON revocations TO platform_scoped
    USING (tenant_id = current_setting('app.tenant_id')::uuid)
    WITH CHECK (tenant_id = current_setting('app.tenant_id')::uuid);
CREATE POLICY administration ON revocations TO tradesage_owner, svc_auth, svc_tenant, svc_router
    USING (true) WITH CHECK (true);

GRANT SELECT, INSERT, UPDATE ON identities, password_credentials, memberships, sessions, refresh_tokens TO svc_auth;
GRANT SELECT, INSERT, DELETE ON revocations TO svc_auth;
GRANT SELECT, INSERT, UPDATE, DELETE ON signing_keys, claim_keys TO svc_auth;

GRANT SELECT (id, email, email_verified_at, state, created_at) ON identities TO svc_tenant;
GRANT INSERT (id, email) ON identities TO svc_tenant;
GRANT SELECT, INSERT, UPDATE ON memberships TO svc_tenant;
GRANT INSERT ON revocations TO svc_tenant;

-- The router verifies tokens: it sees public keys, never the private ones.
GRANT SELECT (kid, state, public_key, created_at, activated_at, retired_at) ON signing_keys TO svc_router;
GRANT SELECT ON claim_keys, revocations TO svc_router;
GRANT SELECT ON sessions TO svc_router;
GRANT UPDATE (last_seen_at) ON sessions TO svc_router;

GRANT SELECT ON sessions TO platform_scoped;
GRANT UPDATE (revoked_at, revoke_reason) ON sessions TO platform_scoped;
GRANT SELECT ON memberships TO platform_scoped;
GRANT SELECT, INSERT ON revocations TO platform_scoped;
