-- Renewal of sessions, and sign-ins that wait for the choice of a tenant.

-- What housekeeping deletes: used tokens that are too old to tell of a theft,
-- and those whose session has ended by itself.
CREATE INDEX refresh_tokens_used_idx ON refresh_tokens (used_at) WHERE used_at IS NOT NULL;
CREATE INDEX refresh_tokens_expiry_idx ON refresh_tokens (expires_at);
GRANT DELETE ON refresh_tokens TO svc_auth;

-- A password was right and the tenant is to be chosen. Only the ticket's SHA-256
-- is kept, and redeeming it deletes the row.
CREATE TABLE login_tickets (
    hash        bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    identity_id uuid NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
    -- SHA-256 of the password's hash: another password voids the ticket.
    credential  bytea NOT NULL CHECK (octet_length(credential) = 32),
    -- How and when the identity proved itself.
    amr         text[] NOT NULL,
    auth_time   timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX login_tickets_identity_idx ON login_tickets (identity_id);
CREATE INDEX login_tickets_expiry_idx ON login_tickets (expires_at);
GRANT SELECT, INSERT, DELETE ON login_tickets TO svc_auth;
