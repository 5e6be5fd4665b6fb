-- The people of one tenant, what they may do, their devices, and the record of
-- what was done. tenant_id gets its default, check and policy by sealing.

CREATE TABLE users (
    -- The identity's id: a user is an identity inside this tenant.
    id           uuid PRIMARY KEY,
    tenant_id    uuid NOT NULL,
    -- A copy; auth holds the source.
    email        text NOT NULL,
    display_name text NOT NULL DEFAULT '' CONSTRAINT users_display_name_check CHECK (char_length(display_name) <= 100),
    locale       text NOT NULL DEFAULT 'en' CONSTRAINT users_locale_check CHECK (char_length(locale) BETWEEN 2 AND 35),
    time_zone    text NOT NULL DEFAULT 'UTC' CONSTRAINT users_time_zone_check CHECK (char_length(time_zone) BETWEEN 1 AND 64),
    state        text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'deactivated')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_email_key UNIQUE (email)
);

CREATE TABLE roles (
    id          uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL,
    key         text NOT NULL CHECK (key ~ '^[a-z][a-z0-9_-]{0,62}$'),
    name        text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    permissions text[] NOT NULL DEFAULT '{}',
    built_in    boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT roles_key_key UNIQUE (key)
);

CREATE TABLE user_roles (
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role_id    uuid NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    tenant_id  uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, role_id)
);

CREATE TABLE devices (
    id            uuid PRIMARY KEY,
    tenant_id     uuid NOT NULL,
    user_id       uuid NOT NULL,
    -- As "Firefox on Linux", from the user agent.
    name          text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    kind          text NOT NULL CHECK (kind IN ('desktop', 'mobile', 'tablet', 'bot', 'other')),
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX devices_user_idx ON devices (user_id, id DESC);

CREATE TABLE invitations (
    id          uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL,
    email       text NOT NULL,
    role_key    text NOT NULL,
    -- SHA-256 of the code in the mail's link.
    code_hash   bytea NOT NULL CHECK (octet_length(code_hash) = 32),
    invited_by  uuid,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    accepted_at timestamptz,
    CONSTRAINT invitations_code_hash_key UNIQUE (code_hash)
);

CREATE TABLE audit_events (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL,
    actor_id   uuid,
    session_id uuid,
    action     text NOT NULL CHECK (char_length(action) <= 64),
    target     text NOT NULL DEFAULT '' CHECK (char_length(target) <= 256),
    request_id text NOT NULL DEFAULT '' CHECK (char_length(request_id) <= 64),
    details    jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE audit_events IS 'append-only';
