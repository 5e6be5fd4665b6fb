package session

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
)

// PermissionsChanged makes a committed change of a user's roles, or with the
// tenant's id as subject of all its users', known to every process before it
// returns; pending is as of Publish. Tokens of the older epoch are renewed. It
// may run any number of times.
func (r *Revocations) PermissionsChanged(ctx context.Context, in db.Tenant, subject uuid.UUID) (pending bool, err error) {
	var change Revocation
	err = r.members.PlatformFor(in).Tx(ctx, func(q *platformdb.Queries) error {
		if _, err := q.RaiseEpoch(ctx, in.ID(), subject); err != nil {
			return err
		}
		change, err = r.Record(ctx, q, KindPermissions, subject, in.ID())
		return err
	})
	if err != nil {
		return false, fmt.Errorf("permissions of %s in tenant %s: %w", subject, in, err)
	}
	return r.Publish(ctx, change), nil
}

// MemberEnded closes the tenant to a user: the membership is disabled and every
// session there ends; pending is as of Publish. It may run any number of times.
func (r *Revocations) MemberEnded(ctx context.Context, in db.Tenant, user uuid.UUID, reason string) (pending bool, err error) {
	var end Revocation
	err = r.members.PlatformFor(in).Tx(ctx, func(q *platformdb.Queries) error {
		if _, err := q.DisableMembership(ctx, in.ID(), user); err != nil {
			return err
		}
		// After the membership's lock, so that a session that began meanwhile is
		// seen and is older than the revocation.
		if _, err := q.EndUserSessions(ctx, platformdb.EndUserSessionsParams{
			At: r.clock(), Reason: reason, TenantID: in.ID(), IdentityID: user,
		}); err != nil {
			return err
		}
		end, err = r.Record(ctx, q, KindUser, user, in.ID())
		return err
	})
	if err != nil {
		return false, fmt.Errorf("end of user %s in tenant %s: %w", user, in, err)
	}
	return r.Publish(ctx, end), nil
}
