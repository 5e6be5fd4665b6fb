package tenant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/audit"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/permission"
)

const (
	createOperation = "createTenant"
	// claimTries bounds how often a claim that found no blank makes one and tries
	// again; others may take what it made.
	claimTries = 8
)

// Create makes a tenant and invites its owner. The caller must be a member of the
// platform's own tenant with the permission tenants:create.
//
// UNAUTHENTICATED without a caller; FORBIDDEN; INVALID_INPUT that names the
// field; CONFLICT that names input.slug, input.domain or input.idempotencyKey;
// UNAVAILABLE if there is no room for another tenant. If the tenant's own part
// cannot be finished now, the answer is a tenant in StateProvisioning and the
// relay finishes it.
func (t *Tenants) Create(ctx context.Context, input CreateTenantInput) (*Tenant, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.requirePlatform(ctx, caller, TenantsCreate); err != nil {
		return nil, err
	}
	if input, err = input.check(); err != nil {
		return nil, err
	}
	if id, err := t.repeated(ctx, caller, input); err != nil || id != uuid.Nil {
		return t.finished(ctx, id, err)
	}
	body, err := t.invite(caller, input)
	if err != nil {
		return nil, err
	}
	err = t.claim(ctx, claimOf(input), &body, func(q *platformdb.Queries, claimed platformdb.GetTenantRow) error {
		// The caller's tenant keeps the record of what its member did to another.
		actingTenant := caller.Tenant.ID()
		if err := audit.RecordPlatform(ctx, q, &actingTenant, created(claimed)); err != nil {
			return err
		}
		if err := emit(ctx, q, actingTenant, change{EventCreated, claimed.ID, &caller.Subject}); err != nil {
			return err
		}
		if input.IdempotencyKey == nil {
			return nil
		}
		return q.InsertIdempotencyKey(ctx, platformdb.InsertIdempotencyKeyParams{
			ActorID: caller.Subject, Operation: createOperation, Key: *input.IdempotencyKey,
			RequestHash: input.hash(), Result: claimed.ID,
		})
	})
	if err != nil {
		if !db.Violates(err, "idempotency_keys_pkey") && !db.Violates(err, "tenants_slug_key") && !db.Violates(err, "tenants_domain_key") {
			return nil, fmt.Errorf("create tenant %s: %w", input.Slug, err)
		}
		// The same call may have won a moment ago: then its tenant is the answer.
		if id, repeatErr := t.repeated(ctx, caller, input); repeatErr != nil || id != uuid.Nil {
			return t.finished(ctx, id, repeatErr)
		}
		return nil, taken(err)
	}
	t.provisionNow(ctx, body)
	return t.finished(ctx, body.Tenant, nil)
}

// invite returns what the tenant step needs to invite the owner.
func (t *Tenants) invite(caller *identity.Caller, input CreateTenantInput) (provisioning, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return provisioning{}, err
	}
	platform := caller.Tenant.ID()
	return provisioning{Follower: &platform, Owner: &ownerInvitation{
		ID: id, Email: input.OwnerEmail, InvitedBy: caller.Subject,
		ExpiresAt: t.now().Add(InvitationLife).UTC().Truncate(time.Microsecond),
	}}, nil
}

func claimOf(input CreateTenantInput) platformdb.ClaimBlankParams {
	return platformdb.ClaimBlankParams{Slug: &input.Slug, Name: &input.Name, Domain: input.Domain, Plan: StandardPlan}
}

// requirePlatform answers FORBIDDEN unless the caller's tenant is the platform's
// own and a role there grants the permission.
func (t *Tenants) requirePlatform(ctx context.Context, caller *identity.Caller, needed string) error {
	holds, err := t.holdsPlatform(ctx, caller, needed)
	if err == nil && !holds {
		return fault.Forbidden("this needs the permission " + needed + " of the platform")
	}
	return err
}

// holdsPlatform reports whether the caller's tenant is the platform's own and a
// role there grants the permission.
func (t *Tenants) holdsPlatform(ctx context.Context, caller *identity.Caller, needed string) (bool, error) {
	own, err := t.store.PlatformFor(caller.Tenant).GetTenant(ctx, caller.Tenant.ID())
	if errors.Is(err, db.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("tenant %s: %w", caller.Tenant, err)
	}
	if own.Slug == nil || *own.Slug != PlatformSlug {
		return false, nil
	}
	held, err := permission.Load(ctx, t.store.Tenant(caller.Tenant).Queries, caller.Subject)
	if err != nil {
		return false, err
	}
	return held.Holds(needed), nil
}

// repeated returns the tenant that an earlier call with the same idempotency key
// made, or uuid.Nil. CONFLICT if that call asked for another tenant.
func (t *Tenants) repeated(ctx context.Context, caller *identity.Caller, input CreateTenantInput) (uuid.UUID, error) {
	if input.IdempotencyKey == nil {
		return uuid.Nil, nil
	}
	earlier, err := t.store.Platform().GetIdempotencyKey(ctx, platformdb.GetIdempotencyKeyParams{
		ActorID: caller.Subject, Operation: createOperation, Key: *input.IdempotencyKey,
	})
	if errors.Is(err, db.ErrNotFound) {
		return uuid.Nil, nil
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("idempotency key: %w", err)
	}
	if !bytes.Equal(earlier.RequestHash, input.hash()) {
		return uuid.Nil, fault.Conflict("input.idempotencyKey", "this key was used for another tenant; use a new one")
	}
	return earlier.Result, nil
}

// finished returns the tenant as it is now.
func (t *Tenants) finished(ctx context.Context, id uuid.UUID, err error) (*Tenant, error) {
	if err != nil {
		return nil, err
	}
	row, err := t.store.Platform().GetTenant(ctx, id)
	if errors.Is(err, db.ErrNotFound) {
		return nil, fault.NotFound("no such tenant")
	}
	if err != nil {
		return nil, fmt.Errorf("tenant %s: %w", id, err)
	}
	return fromRow(row), nil
}

// claim turns a blank into a tenant and, in the same transaction, records
// everything that must follow: what also adds, and the outbox event that
// finishes the tenant after a crash. It sets body.Tenant.
func (t *Tenants) claim(
	ctx context.Context, claim platformdb.ClaimBlankParams, body *provisioning,
	also func(*platformdb.Queries, platformdb.GetTenantRow) error,
) error {
	for range claimTries {
		err := t.store.Platform().Tx(ctx, func(q *platformdb.Queries) error {
			row, err := q.ClaimBlank(ctx, claim)
			if err != nil {
				return err
			}
			body.Tenant = row.ID
			encoded, err := json.Marshal(body)
			if err != nil {
				return err
			}
			if err := q.InsertOutbox(ctx, platformdb.InsertOutboxParams{TenantID: &row.ID, Kind: KindProvision, Body: encoded}); err != nil {
				return err
			}
			return also(q, platformdb.GetTenantRow{
				ID: row.ID, State: row.State, Slug: row.Slug, Name: row.Name, Domain: row.Domain,
				Plan: row.Plan, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
			})
		})
		t.refiller.Wake()
		if !errors.Is(err, db.ErrNotFound) {
			return err
		}
		if err := newBlank(ctx, t.store.Platform().Queries); err != nil {
			return err
		}
	}
	return fault.Unavailable("no tenant is ready at the moment; try again")
}

func created(claimed platformdb.GetTenantRow) audit.Event {
	return audit.Event{
		Action: "tenant.create", Target: claimed.ID.String(),
		Details: map[string]any{"slug": claimed.Slug, "name": claimed.Name, "domain": claimed.Domain},
	}
}

// taken turns the violation of a unique constraint into CONFLICT.
func taken(err error) error {
	switch {
	case db.Violates(err, "tenants_slug_key"):
		return fault.Conflict("input.slug", "this slug is taken").Because(err)
	case db.Violates(err, "tenants_domain_key"):
		return fault.Conflict("input.domain", "this domain is taken").Because(err)
	}
	return fault.Conflict("input.idempotencyKey", "a call with this key is under way; try again").Because(err)
}
