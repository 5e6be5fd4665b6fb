-- What was done to something, and what was done in a stretch of time.
CREATE INDEX audit_events_target_idx ON audit_events (target, id DESC);
CREATE INDEX audit_events_created_idx ON audit_events (created_at);
