package tenant

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// MaxBatch bounds the ids of one call.
const MaxBatch = 1000

// User refers to a person by the id alone.
type User struct{ ID uuid.UUID }

// IsEntity marks User as one that other subgraphs resolve.
func (*User) IsEntity() {}

// Membership is a person's place in one tenant.
type Membership struct {
	User   *User
	Tenant *Tenant
	// JoinedAt is when the person was added.
	JoinedAt time.Time
	// Current marks the tenant of the request.
	Current bool
}

// MembershipsOf returns the memberships of each of these users, at most 1,000, in
// their order. The caller's own are those in all tenants, by their slugs, at most
// 100. Of others it is the one in the caller's tenant: where else somebody works
// is theirs to tell. Nil stands for who does not belong to it and, without
// users:read, for everybody else. It takes two statements at most.
//
// UNAUTHENTICATED without a caller; INVALID_INPUT of ids.
func (t *Tenants) MembershipsOf(ctx context.Context, users []uuid.UUID) ([][]*Membership, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	sees, err := t.sees(ctx, caller, users)
	if err != nil {
		return nil, err
	}
	byUser := map[uuid.UUID][]*Membership{}
	if slices.Contains(users, caller.Subject) {
		if byUser[caller.Subject], err = t.ownMemberships(ctx, caller); err != nil {
			return nil, err
		}
	}
	var others []uuid.UUID
	for _, id := range users {
		if id != caller.Subject && sees(id) {
			others = append(others, id)
		}
	}
	if err := t.addMembersHere(ctx, caller, others, byUser); err != nil {
		return nil, err
	}
	memberships := make([][]*Membership, len(users))
	for i, id := range users {
		memberships[i] = byUser[id]
	}
	return memberships, nil
}

func (t *Tenants) ownMemberships(ctx context.Context, caller *identity.Caller) ([]*Membership, error) {
	rows, err := t.store.Platform().ListMemberships(ctx, caller.Subject)
	if err != nil {
		return nil, fmt.Errorf("memberships of %s: %w", caller.Subject, err)
	}
	own := make([]*Membership, len(rows))
	for i, row := range rows {
		own[i] = &Membership{
			User: &User{ID: caller.Subject}, JoinedAt: row.JoinedAt, Current: row.ID == caller.Tenant.ID(),
			Tenant: fromRow(platformdb.GetTenantRow{
				ID: row.ID, State: row.State, Slug: row.Slug, Name: row.Name, Domain: row.Domain, Plan: row.Plan,
				CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
			}),
		}
	}
	return own, nil
}

// addMembersHere reads as the caller's tenant: row level security shows no other.
func (t *Tenants) addMembersHere(ctx context.Context, caller *identity.Caller, users []uuid.UUID, byUser map[uuid.UUID][]*Membership) error {
	if len(users) == 0 {
		return nil
	}
	rows, err := t.store.PlatformFor(caller.Tenant).ListMembersByID(ctx, caller.Tenant.ID(), users)
	if err != nil {
		return fmt.Errorf("members of %s: %w", caller.Tenant, err)
	}
	for _, row := range rows {
		byUser[row.IdentityID] = []*Membership{{
			User: &User{ID: row.IdentityID}, JoinedAt: row.JoinedAt, Current: true,
			Tenant: fromRow(platformdb.GetTenantRow{
				ID: row.ID, State: row.State, Slug: row.Slug, Name: row.Name, Domain: row.Domain, Plan: row.Plan,
				CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
			}),
		}}
	}
	return nil
}

// UsersByID returns a reference to each user whose memberships the caller may ask
// for, in their order, and nil for the rest: without users:read, for everybody but
// the caller. Whether there is such a user it does not tell. UNAUTHENTICATED
// without a caller; INVALID_INPUT of ids.
func (t *Tenants) UsersByID(ctx context.Context, ids []uuid.UUID) ([]*User, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	sees, err := t.sees(ctx, caller, ids)
	if err != nil {
		return nil, err
	}
	users := make([]*User, len(ids))
	for i, id := range ids {
		if sees(id) {
			users[i] = &User{ID: id}
		}
	}
	return users, nil
}

// sees tells whom of these users the caller sees.
func (t *Tenants) sees(ctx context.Context, caller *identity.Caller, users []uuid.UUID) (func(uuid.UUID) bool, error) {
	if len(users) > MaxBatch {
		return nil, fault.InvalidInput("ids", fmt.Sprintf("must be at most %d", MaxBatch))
	}
	all := false
	if slices.ContainsFunc(users, func(id uuid.UUID) bool { return id != caller.Subject }) {
		held, err := t.permissions.Of(ctx)
		if err != nil {
			return nil, err
		}
		all = held.Holds(UsersRead)
	}
	return func(id uuid.UUID) bool { return all || id == caller.Subject }, nil
}
