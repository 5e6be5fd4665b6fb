package permission

import (
	"context"
	"sync"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/identity"
)

type rememberKey struct{}

// memory is what one operation has asked already.
type memory struct {
	mu   sync.Mutex
	sets map[asked]Set
}

type asked struct {
	of              *Permissions
	tenant, subject uuid.UUID
}

// Remember returns a context in which a caller's permissions are looked up once,
// however many fields ask. It is for one operation that changes nothing.
func Remember(ctx context.Context) context.Context {
	return context.WithValue(ctx, rememberKey{}, &memory{sets: map[asked]Set{}})
}

// remember returns what ctx remembers, or else what load finds. Who asks meanwhile
// waits for it; a failure is not remembered.
func remember(ctx context.Context, p *Permissions, caller *identity.Caller, load func() (Set, error)) (Set, error) {
	m, ok := ctx.Value(rememberKey{}).(*memory)
	if !ok {
		return load()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := asked{p, caller.Tenant.ID(), caller.Subject}
	if set, known := m.sets[key]; known {
		return set, nil
	}
	set, err := load()
	if err == nil {
		m.sets[key] = set
	}
	return set, err
}
