-- Who administers a tenant may send operations of their own where only trusted ones
-- are taken. New tenants get the same from provisioning.
UPDATE roles SET permissions = permissions || '{graph:free-form}'::text[]
WHERE built_in AND key IN ('owner', 'admin', 'platform-admin') AND NOT permissions @> '{graph:free-form}';
