package auth

import (
	"context"
	"fmt"

	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/audit"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/session"
)

// Logout ends the caller's session: its tokens are refused from the next request
// on. pending says that some process may take up to 2 s to know. Ending a
// session that has ended is no error. It fails with UNAUTHENTICATED without a
// caller and with UNAVAILABLE without PostgreSQL.
func (a *Auth) Logout(ctx context.Context) (pending bool, err error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return false, err
	}
	var revocation session.Revocation
	var ended bool
	tenantID := caller.Tenant.ID()
	err = a.store.PlatformFor(caller.Tenant).Tx(ctx, func(q *platformdb.Queries) error {
		revocation, ended, err = a.revocations.EndSession(ctx, q, session.Ending{
			Session: caller.Session, User: caller.Subject, Tenant: tenantID, Reason: "logout",
		})
		if err != nil || !ended {
			return err
		}
		return audit.RecordPlatform(ctx, q, &tenantID, audit.Event{Action: "auth.logout", Target: caller.Session.String()})
	})
	if err != nil {
		return false, fmt.Errorf("sign-out: %w", err)
	}
	if !ended {
		return false, nil
	}
	return a.revocations.Publish(ctx, revocation), nil
}
