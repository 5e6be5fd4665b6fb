-- name: CreateLoginTicket :execrows
-- Locked and checked like the start of a session.
INSERT INTO login_tickets (hash, identity_id, credential, amr, auth_time, expires_at)
SELECT @hash::bytea, held.identity_id, @credential::bytea, @amr::text[], @auth_time::timestamptz, @expires_at::timestamptz
FROM (
    SELECT i.id AS identity_id
    FROM identities i
    JOIN password_credentials p ON p.identity_id = i.id
    WHERE i.id = @identity_id AND i.state = 'active' AND sha256(convert_to(p.hash, 'UTF8')) = @credential::bytea
    FOR SHARE OF i, p
) AS held;

-- name: GetLoginTicket :one
SELECT k.identity_id, k.credential, k.amr, k.auth_time, i.email
FROM login_tickets k
JOIN identities i ON i.id = k.identity_id
WHERE k.hash = @hash AND k.expires_at > @at;

-- name: TakeLoginTicket :execrows
-- Of two that redeem a ticket at once, one finds it gone.
DELETE FROM login_tickets WHERE hash = @hash AND expires_at > @at;

-- name: DeleteLoginTickets :execrows
DELETE FROM login_tickets WHERE expires_at < @expired_before::timestamptz;
