// Package identity carries who is asking: the verified caller of a request.
//
// A Caller is made in one place, by verifying an access token against the live
// session state, and travels in the context. Nothing here checks permissions.
package identity

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/fault"
)

// Caller is a signed-in subject acting in one tenant through one session.
type Caller struct {
	// Subject is the identity's id, which is also the user's id in the tenant.
	Subject uuid.UUID
	// Session is the id of the live session that the token belongs to.
	Session uuid.UUID
	// Tenant is the tenant of the token's encrypted claim, looked up and active.
	Tenant db.Tenant
	// Plan is the tenant's plan as it was at the last look: of a connection that stays
	// open, when its token was last checked.
	Plan string
	// Epoch is the permission epoch that the token was issued under.
	Epoch int64
	// AuthTime is when the subject last proved a credential.
	AuthTime time.Time
	// Issued and Expires bound the access token.
	Issued, Expires time.Time
}

type contextKey struct{}

// NewContext returns a context that carries the caller.
func NewContext(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// FromContext returns the caller, or fault UNAUTHENTICATED if there is none.
func FromContext(ctx context.Context) (*Caller, error) {
	c, ok := ctx.Value(contextKey{}).(*Caller)
	if !ok || c == nil || c.Subject == uuid.Nil || c.Tenant.IsZero() {
		return nil, fault.Unauthenticated("sign in first")
	}
	return c, nil
}
