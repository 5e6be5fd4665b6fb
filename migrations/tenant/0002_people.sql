-- Who holds a role, what somebody did, and who is invited already.
CREATE INDEX user_roles_role_idx ON user_roles (role_id, user_id);
CREATE INDEX audit_events_actor_idx ON audit_events (actor_id, id DESC);
CREATE INDEX audit_events_action_idx ON audit_events (action, id DESC);
CREATE INDEX invitations_email_idx ON invitations (email) WHERE accepted_at IS NULL;
