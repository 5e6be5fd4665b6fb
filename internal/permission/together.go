package permission

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/tradesage/tradesage/internal/identity"
)

// together reads a caller's permissions and keeps them. Who asks for the same ones
// meanwhile takes them over: an event for thousands of one user's connections is one
// reading. What began before a change is not taken over after it.
func (p *Permissions) together(ctx context.Context, caller *identity.Caller, changes uint64, now time.Time) (Set, error) {
	tenant, user := caller.Tenant.ID(), caller.Subject
	key := binary.BigEndian.AppendUint64(append(tenant[:], user[:]...), changes)
	found, err, _ := p.reading.Do(string(key), func() (any, error) {
		set, err := p.load(ctx, caller)
		if err == nil {
			p.keep(caller, kept{set, now}, changes)
		}
		return set, err
	})
	if ctx.Err() == nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return p.load(ctx, caller) // whoever read for all has gone
	}
	if err != nil {
		return Set{}, err
	}
	return found.(Set), nil
}
