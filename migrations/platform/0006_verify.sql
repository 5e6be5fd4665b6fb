-- A process that only checks access tokens logs in as svc_verify for that: it
-- sees public keys, claim keys, revocations and one tenant's place by its id,
-- and nothing of people, sessions or private keys.

GRANT SELECT (kid, state, public_key, created_at, activated_at, retired_at) ON signing_keys TO svc_verify;
GRANT SELECT ON claim_keys, revocations TO svc_verify;
GRANT EXECUTE ON FUNCTION resolve_tenant(uuid) TO svc_verify;
CREATE POLICY verification ON revocations FOR SELECT TO svc_verify USING (true);
