// Package permission answers what the caller of a request may do in their
// tenant: the union of the permissions of their roles there, kept in memory from
// one change to the next.
//
// It knows neither the names of permissions nor how roles change; tenant owns the
// one, user the other.
package permission

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

const (
	// maxAge is how long a set may serve without any news; the feed of changes
	// makes it older than that only if a change was lost.
	maxAge = 30 * time.Second
	// maxSets bounds what is kept; beyond it everything is forgotten once.
	maxSets = 100_000
)

// Set is what one user may do. The zero Set allows nothing.
type Set struct{ names []string }

// NewSet returns a set of these permissions.
func NewSet(names ...string) Set {
	names = slices.Clone(names)
	slices.Sort(names)
	return Set{slices.Compact(names)}
}

// Holds reports whether the set allows this.
func (s Set) Holds(name string) bool {
	_, found := slices.BinarySearch(s.names, name)
	return found
}

// Missing returns the first of the names that the set does not hold, or "".
func (s Set) Missing(names ...string) string {
	for _, name := range names {
		if !s.Holds(name) {
			return name
		}
	}
	return ""
}

// Load asks the tenant what a user may do, without memory. Use it in the
// transaction of a change, where only the present counts. A user who is
// deactivated or not in the tenant may do nothing.
func Load(ctx context.Context, q *tenantdb.Queries, subject uuid.UUID) (Set, error) {
	names, err := q.ListPermissions(ctx, subject)
	if err != nil {
		return Set{}, fmt.Errorf("permissions of %s: %w", subject, err)
	}
	return NewSet(names...), nil
}

// Options are what New needs.
type Options struct {
	Store *db.Store
	// Platform is asked in the place of Store, by a process that has no way into
	// tenants' schemas.
	Platform *db.PlatformStore
	// Following reports whether this process hears of changes at the moment. While
	// it does not, every question goes to the database. Nil is never.
	Following func() bool
	// Clock is time.Now if nil.
	Clock func() time.Time
}

// Permissions answers what callers may do. It is safe for concurrent use.
type Permissions struct {
	read      reader
	following func() bool
	clock     func() time.Time
	readings  readings

	mu sync.RWMutex
	// sets is by tenant and user.
	sets map[uuid.UUID]map[uuid.UUID]kept
	size int
	// changes counts the calls of Drop: what was read before one is not kept.
	changes uint64
}

type kept struct {
	set    Set
	readAt time.Time
}

// New returns permissions that nothing is known of yet.
func New(o Options) *Permissions {
	if o.Following == nil {
		o.Following = func() bool { return false }
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	read := inTenants(o.Store)
	if o.Platform != nil {
		read = throughPlatform(o.Platform)
	}
	return &Permissions{
		read: read, following: o.Following, clock: o.Clock,
		readings: readings{of: map[db.Tenant]*line{}}, sets: map[uuid.UUID]map[uuid.UUID]kept{},
	}
}

// Of returns what the caller may do. UNAUTHENTICATED without a caller,
// UNAVAILABLE without PostgreSQL where the answer is not known.
func (p *Permissions) Of(ctx context.Context) (Set, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return Set{}, err
	}
	following, now := p.following(), p.clock()
	p.mu.RLock()
	known, ok := p.sets[caller.Tenant.ID()][caller.Subject]
	p.mu.RUnlock()
	if ok && following && now.Sub(known.readAt) < maxAge {
		return known.set, nil
	}
	return remember(ctx, p, caller, func() (Set, error) { return p.together(ctx, caller, following) })
}

// Require answers FORBIDDEN that names the permission unless the caller holds
// it, and fails like Of.
func (p *Permissions) Require(ctx context.Context, name string) (*identity.Caller, error) {
	held, err := p.Of(ctx)
	if err != nil {
		return nil, err
	}
	if !held.Holds(name) {
		return nil, Lacking(name)
	}
	return identity.FromContext(ctx)
}

// Lacks tells what the caller lacks of lists of permissions of which one must be
// held whole: "" if nothing, else the first that is missing of the first list. It
// fails like Of.
func (p *Permissions) Lacks(ctx context.Context, anyOf [][]string) (missing string, err error) {
	held, err := p.Of(ctx)
	if err != nil {
		return "", err
	}
	for _, all := range anyOf {
		first := held.Missing(all...)
		if first == "" {
			return "", nil
		}
		if missing == "" {
			missing = first
		}
	}
	return missing, nil
}

// Lacking is the answer to a caller who does not hold a permission.
func Lacking(name string) error { return fault.Forbidden("this needs the permission " + name) }

// Drop forgets what is known of a user in a tenant, and of all users if subject
// is the tenant itself. It belongs after the commit of what changed.
func (p *Permissions) Drop(tenant, subject uuid.UUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes++
	users := p.sets[tenant]
	if subject == tenant {
		p.size -= len(users)
		delete(p.sets, tenant)
		return
	}
	if _, ok := users[subject]; ok {
		delete(users, subject)
		p.size--
	}
}

func (p *Permissions) changeCount() uint64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.changes
}

// keep remembers what was read of users at a time, when changes was the count of
// changes: if there was one since, the sets may be of before it.
func (p *Permissions) keep(in db.Tenant, users []uuid.UUID, sets map[uuid.UUID]Set, at time.Time, changes uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changes != changes {
		return
	}
	if p.size+len(users) > maxSets {
		clear(p.sets)
		p.size = 0
	}
	of := p.sets[in.ID()]
	if of == nil {
		of = map[uuid.UUID]kept{}
		p.sets[in.ID()] = of
	}
	for _, user := range users {
		if _, ok := of[user]; !ok {
			p.size++
		}
		of[user] = kept{sets[user], at}
	}
}
