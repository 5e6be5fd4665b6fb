package session

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/audit"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/permission"
	"github.com/tradesage/tradesage/internal/tenant"
)

var (
	errNoSession = fault.NotFound("no such session")
	errNoUser    = fault.NotFound("no such user")
)

// Ended says how many sessions a call has ended.
type Ended struct {
	Count int
	// Pending says that some process may take up to 2 s to know.
	Pending bool
}

// RevokeSession ends one of the caller's sessions in this tenant, this one too:
// its tokens are refused from the next request on. Ending one that has ended is
// no error and counts as none.
//
// It fails with UNAUTHENTICATED without a caller, NOT_FOUND for a session that
// does not exist, is another user's or belongs to another tenant, alike, and
// UNAVAILABLE without PostgreSQL.
func (s *Sessions) RevokeSession(ctx context.Context, id uuid.UUID) (*Ended, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	tenantID := caller.Tenant.ID()
	var revocations []Revocation
	err = s.store.PlatformFor(caller.Tenant).Tx(ctx, func(q *platformdb.Queries) error {
		revocation, ended, err := s.ended.EndSession(ctx, q, Ending{
			Session: id, User: caller.Subject, Tenant: tenantID, Reason: "revoked_by_user",
		})
		if err != nil {
			return err
		}
		if !ended {
			known, err := q.HasUserSession(ctx, id, caller.Subject)
			if err == nil && !known {
				return errNoSession
			}
			return err
		}
		revocations = append(revocations, revocation)
		return audit.RecordPlatform(ctx, q, &tenantID, audit.Event{Action: "session.revoke", Target: id.String()})
	})
	if err != nil {
		return nil, fmt.Errorf("session %s: %w", id, err)
	}
	return s.publish(ctx, revocations), nil
}

// RevokeOtherSessions ends the caller's sessions in this tenant but the one that
// asks. It fails like RevokeSession, never with NOT_FOUND.
func (s *Sessions) RevokeOtherSessions(ctx context.Context) (*Ended, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	return s.endAll(ctx, caller, Ending{Session: caller.Session, User: caller.Subject, Reason: "revoked_by_user"}, "session.revoke_others")
}

// RevokeUserSessions ends all sessions of a user of the caller's tenant; the
// caller needs the permission sessions:manage there. A sign-in that is under way
// is ended too; one that begins afterwards is not.
//
// It fails with UNAUTHENTICATED, FORBIDDEN without the permission, NOT_FOUND for
// somebody who is no member of the tenant, and UNAVAILABLE.
func (s *Sessions) RevokeUserSessions(ctx context.Context, user uuid.UUID) (*Ended, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	held, err := permission.Load(ctx, s.store.Tenant(caller.Tenant).Queries, caller.Subject)
	if err != nil {
		return nil, err
	}
	if !held.Holds(tenant.SessionsManage) {
		return nil, permission.Lacking(tenant.SessionsManage)
	}
	if user == caller.Tenant.ID() { // RaiseEpoch takes it for everybody
		return nil, errNoUser
	}
	return s.endAll(ctx, caller, Ending{User: user, Reason: "revoked_by_admin"}, "session.revoke_user")
}

// endAll ends a user's sessions under the lock of the membership.
func (s *Sessions) endAll(ctx context.Context, caller *identity.Caller, e Ending, action string) (*Ended, error) {
	tenantID := caller.Tenant.ID()
	var revocations []Revocation
	err := s.store.PlatformFor(caller.Tenant).Tx(ctx, func(q *platformdb.Queries) error {
		// Of the membership this takes the lock: a session that begins at this moment
		// holds a share of it, so it is waited for, and seen.
		members, err := q.RaiseEpoch(ctx, tenantID, e.User)
		if err != nil {
			return err
		}
		if members == 0 {
			return errNoUser
		}
		if revocations, err = s.ended.EndOtherSessions(ctx, q, e); err != nil {
			return err
		}
		return audit.RecordPlatform(ctx, q, &tenantID, audit.Event{
			Action: action, Target: e.User.String(), Details: map[string]int{"sessions": len(revocations)},
		})
	})
	if err != nil {
		return nil, fmt.Errorf("sessions of %s: %w", e.User, err)
	}
	return s.publish(ctx, revocations), nil
}

func (s *Sessions) publish(ctx context.Context, revocations []Revocation) *Ended {
	return &Ended{Count: len(revocations), Pending: s.ended.Publish(ctx, revocations...)}
}
