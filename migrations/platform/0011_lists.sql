-- The orders of the list of tenants.
CREATE INDEX tenants_created_idx ON tenants (created_at, id) WHERE state <> 'blank';
CREATE INDEX tenants_name_idx ON tenants (left(lower(name), 60) COLLATE "C", id) WHERE state <> 'blank';
CREATE INDEX tenants_slug_idx ON tenants (slug COLLATE "C", id) WHERE state <> 'blank';
