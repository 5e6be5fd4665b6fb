-- Registrations and password resets that wait for a code from a mail. A row is
-- made for every request alike, whether the address is known or not: which mail
-- goes out, if any, is decided later by the outbox.
CREATE TABLE email_challenges (
    id            uuid PRIMARY KEY,
    purpose       text NOT NULL CHECK (purpose IN ('register', 'reset')),
    email         text NOT NULL CHECK (email = lower(email) AND char_length(email) BETWEEN 3 AND 254),
    -- SHA-256 of the code in the mail.
    code_hash     bytea NOT NULL CHECK (octet_length(code_hash) = 32),
    -- Argon2id of the password that a registration chose, until it is taken over.
    password_hash text CHECK (password_hash LIKE '$argon2id$%'),
    tenant_name   text CHECK (char_length(tenant_name) BETWEEN 1 AND 200),
    -- Whose challenge it turned out to be.
    identity_id   uuid REFERENCES identities (id) ON DELETE CASCADE,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    mailed_at     timestamptz,
    used_at       timestamptz,
    CONSTRAINT email_challenges_code_hash_key UNIQUE (code_hash)
);
CREATE INDEX email_challenges_email_idx ON email_challenges (email, purpose, created_at);
CREATE INDEX email_challenges_expiry_idx ON email_challenges (expires_at);
CREATE INDEX email_challenges_identity_idx ON email_challenges (identity_id) WHERE identity_id IS NOT NULL;
GRANT SELECT, INSERT, UPDATE, DELETE ON email_challenges TO svc_auth;
