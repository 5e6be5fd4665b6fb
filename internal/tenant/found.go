package tenant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/audit"
	"github.com/tradesage/tradesage/internal/fault"
)

const (
	// KindFound is the outbox kind that FoundStep handles.
	KindFound      = "tenant.found"
	foundOperation = "register"
	// slugTries bounds the search for a free slug; the last ones are random.
	slugTries = 10
)

// Founding is a tenant that somebody who has registered gets as its owner.
type Founding struct {
	// ID is the registration's: one registration founds one tenant.
	ID uuid.UUID `json:"id"`
	// Name is the tenant's; the slug is made from it.
	Name string `json:"name"`
	// Owner is the identity, Email its proven address.
	Owner uuid.UUID `json:"owner"`
	Email string    `json:"email"`
}

// founder is who becomes the owner when the tenant opens, without an invitation.
type founder struct {
	Identity uuid.UUID `json:"identity"`
	Email    string    `json:"email"`
}

// FoundStep founds a tenant from the body of its outbox event.
func (t *Tenants) FoundStep(ctx context.Context, body json.RawMessage) error {
	var f Founding
	if err := json.Unmarshal(body, &f); err != nil {
		return fmt.Errorf("founding: %w", err)
	}
	return t.Found(ctx, f)
}

// Found claims a tenant, gives it its roles and its owner and opens it. It may
// run any number of times, at once too, and goes on where a run before it was
// killed: there is one tenant of a registration. The name has been checked.
// UNAVAILABLE if there is no room for another tenant.
func (t *Tenants) Found(ctx context.Context, f Founding) error {
	id, err := t.claimFor(ctx, f)
	if err != nil {
		return fmt.Errorf("tenant of registration %s: %w", f.ID, err)
	}
	return t.provision(ctx, provisioning{Tenant: id, Founder: &founder{f.Owner, f.Email}})
}

// claimFor returns the registration's tenant and claims it where there is none.
func (t *Tenants) claimFor(ctx context.Context, f Founding) (uuid.UUID, error) {
	for try := range slugTries {
		if id, err := t.founded(ctx, f); err != nil || id != uuid.Nil {
			return id, err
		}
		slug := slugFor(f.Name, try)
		body := provisioning{Founder: &founder{f.Owner, f.Email}}
		claim := platformdb.ClaimBlankParams{Slug: &slug, Name: &f.Name, Plan: StandardPlan}
		err := t.claim(ctx, claim, &body, func(q *platformdb.Queries, claimed platformdb.GetTenantRow) error {
			event := created(claimed)
			event.Actor = &f.Owner
			if err := audit.RecordPlatform(ctx, q, &claimed.ID, event); err != nil {
				return err
			}
			return q.InsertIdempotencyKey(ctx, platformdb.InsertIdempotencyKeyParams{
				ActorID: f.Owner, Operation: foundOperation, Key: f.ID.String(), RequestHash: []byte{}, Result: claimed.ID,
			})
		})
		if err == nil {
			return body.Tenant, nil
		}
		if !db.Violates(err, "tenants_slug_key") && !db.Violates(err, "idempotency_keys_pkey") {
			return uuid.Nil, err
		}
	}
	return uuid.Nil, fault.Unavailable("no name for the tenant is free at the moment; try again")
}

func (t *Tenants) founded(ctx context.Context, f Founding) (uuid.UUID, error) {
	row, err := t.store.Platform().GetIdempotencyKey(ctx, platformdb.GetIdempotencyKeyParams{
		ActorID: f.Owner, Operation: foundOperation, Key: f.ID.String(),
	})
	if errors.Is(err, db.ErrNotFound) {
		return uuid.Nil, nil
	}
	return row.Result, err
}
