-- All sessions of a tenant by time.
CREATE INDEX sessions_tenant_idx ON sessions (tenant_id, id DESC);
