-- Administrators appoint traders, and nobody gives more than they hold
-- (docs/adr/0009). New tenants get the same from provisioning.
UPDATE roles SET permissions = permissions || '{orders:place}'::text[]
WHERE built_in AND key IN ('admin', 'platform-admin') AND NOT permissions @> '{orders:place}';
