-- Who administers a tenant may introspect the API. New tenants get the same from
-- provisioning.
UPDATE roles SET permissions = permissions || '{schema:read}'::text[]
WHERE built_in AND key IN ('owner', 'admin', 'platform-admin') AND NOT permissions @> '{schema:read}';
