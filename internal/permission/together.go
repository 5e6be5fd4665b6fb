package permission

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/aside"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

const (
	// maxTogether bounds the users whose permissions one statement reads.
	maxTogether = 256
	// maxReadings bounds the readings of one tenant that are under way: who comes
	// then is gathered into the next.
	maxReadings = 2
	// readWithin bounds one reading. It belongs to nobody who waits for it, so no
	// request's end ends it.
	readWithin = 10 * time.Second
)

// reader asks a tenant what some of its users may do. The answer may lack users,
// who may do nothing.
type reader func(ctx context.Context, in db.Tenant, users []uuid.UUID) (map[uuid.UUID]Set, error)

// readings are those of all tenants: an event for ten thousand users' connections is
// some forty statements, and not ten thousand.
type readings struct {
	mu sync.Mutex
	// of each tenant that somebody waits for.
	of map[db.Tenant]*line
}

// line is what is asked of one tenant.
type line struct {
	running []*reading
	// waiting have not begun, in their order; all but the last are full. seats are
	// their users.
	waiting []*reading
	seats   map[uuid.UUID]*reading
}

// reading is one statement. What is not of asked is not touched before done.
type reading struct {
	tenant db.Tenant
	users  map[uuid.UUID]struct{}
	// changes is the count of changes before it began.
	changes uint64
	done    chan struct{}
	sets    map[uuid.UUID]Set
	err     error
}

// together reads a caller's permissions and keeps them. A reading begins at once
// where fewer than maxReadings of the tenant are under way. Who comes while they are
// waits with the others for the next one, which is one statement for all of them.
//
// With shared, a caller takes over a reading of the same user that is under way,
// unless something has changed since it began.
func (p *Permissions) together(ctx context.Context, caller *identity.Caller, shared bool) (Set, error) {
	r := p.join(ctx, caller, shared)
	aside.Yield(ctx)
	select {
	case <-r.done:
	case <-ctx.Done():
		return Set{}, ctx.Err()
	}
	switch {
	case r.err == nil:
		return r.sets[caller.Subject], nil // nobody else's: the key is the caller
	case len(r.users) > 1 && !passing(r.err):
		// What one user's rows hold is no reason to refuse the others.
		sets, err := p.read(ctx, caller.Tenant, []uuid.UUID{caller.Subject})
		return sets[caller.Subject], err
	}
	return Set{}, r.err
}

// passing is whether an error says nothing about the rows that were asked for.
func passing(err error) bool {
	var away interface{ Unavailable() bool }
	return errors.As(err, &away) && away.Unavailable() || fault.Is(err, fault.CodeUnavailable)
}

// join finds the reading that a caller waits for, or begins it.
func (p *Permissions) join(ctx context.Context, caller *identity.Caller, shared bool) *reading {
	p.readings.mu.Lock()
	defer p.readings.mu.Unlock()
	l := p.readings.of[caller.Tenant]
	if l == nil {
		l = &line{seats: map[uuid.UUID]*reading{}}
		p.readings.of[caller.Tenant] = l
	}
	if shared {
		changes := p.changeCount()
		for _, r := range l.running {
			if _, asked := r.users[caller.Subject]; asked && r.changes == changes {
				return r
			}
		}
	}
	if r := l.seats[caller.Subject]; r != nil {
		return r
	}
	var r *reading
	if n := len(l.waiting); n > 0 && len(l.waiting[n-1].users) < maxTogether {
		r = l.waiting[n-1]
	} else {
		r = &reading{tenant: caller.Tenant, users: map[uuid.UUID]struct{}{}, done: make(chan struct{})}
		l.waiting = append(l.waiting, r)
	}
	r.users[caller.Subject] = struct{}{}
	l.seats[caller.Subject] = r
	p.begin(ctx, l)
	return r
}

// begin starts the readings for which there is room; readings.mu is held. ctx is of
// somebody who waits: it tells where the statement belongs, not when it ends.
func (p *Permissions) begin(ctx context.Context, l *line) {
	for len(l.running) < maxReadings && len(l.waiting) > 0 {
		r := l.waiting[0]
		l.waiting = l.waiting[1:]
		for user := range r.users {
			delete(l.seats, user)
		}
		l.running = append(l.running, r)
		r.changes = p.changeCount()
		go p.run(context.WithoutCancel(ctx), l, r)
	}
}

// run reads, keeps, and lets the next begin.
func (p *Permissions) run(ctx context.Context, l *line, r *reading) {
	defer func() {
		if panicked := recover(); panicked != nil { // else it would end the process
			r.err = fault.Internal(fmt.Errorf("panic: %v\n%s", panicked, debug.Stack()))
		}
		p.readings.mu.Lock()
		defer p.readings.mu.Unlock()
		close(r.done)
		l.running = slices.DeleteFunc(l.running, func(other *reading) bool { return other == r })
		p.begin(ctx, l)
		if len(l.running) == 0 {
			delete(p.readings.of, r.tenant)
		}
	}()
	limited, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	now := p.clock()
	users := slices.Collect(maps.Keys(r.users))
	if r.sets, r.err = p.read(limited, r.tenant, users); r.err != nil {
		if limited.Err() != nil {
			r.err = fault.Unavailable("permissions cannot be looked up at the moment; try again").Because(r.err)
		}
		return
	}
	p.keep(r.tenant, users, r.sets, now, r.changes)
}

// inTenants reads from the tenants' own schemas.
func inTenants(store *db.Store) reader {
	return func(ctx context.Context, in db.Tenant, users []uuid.UUID) (map[uuid.UUID]Set, error) {
		rows, err := store.Tenant(in).ListPermissionsOfUsers(ctx, users)
		if err != nil {
			return nil, fmt.Errorf("permissions of %d users: %w", len(users), err)
		}
		found := make(granted, len(users))
		for _, row := range rows {
			found.add(row.UserID, row.Permissions)
		}
		return found.sets(), nil
	}
}

// throughPlatform asks the platform, which answers the router for any tenant.
func throughPlatform(store *db.PlatformStore) reader {
	return func(ctx context.Context, in db.Tenant, users []uuid.UUID) (map[uuid.UUID]Set, error) {
		rows, err := store.Platform().ListPermissionsOf(ctx, in.ID(), users)
		if err != nil {
			return nil, fmt.Errorf("permissions of %d users: %w", len(users), err)
		}
		found := make(granted, len(users))
		for _, row := range rows {
			found.add(row.UserID, row.Permissions)
		}
		return found.sets(), nil
	}
}

// granted are permissions by user, a list for each role.
type granted map[uuid.UUID][]string

func (g granted) add(user uuid.UUID, permissions []string) { g[user] = append(g[user], permissions...) }

// sets makes the sets; users who may do the same share one.
func (g granted) sets() map[uuid.UUID]Set {
	out, same := make(map[uuid.UUID]Set, len(g)), map[string]Set{}
	for user, names := range g {
		set := NewSet(names...)
		key := strings.Join(set.names, "\x00")
		if known, ok := same[key]; ok {
			set = known
		} else {
			same[key] = set
		}
		out[user] = set
	}
	return out
}
