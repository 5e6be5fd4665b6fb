package session

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/identity"
)

// Kind says what a revocation ends.
type Kind string

const (
	// KindSession ends one session.
	KindSession Kind = "session"
	// KindUser ends the sessions of one user in one tenant that began before it.
	KindUser Kind = "user"
	// KindTenant ends the access tokens of one tenant that were issued before it.
	KindTenant Kind = "tenant"
	// KindPermissions ends what is known of one user's permissions in a tenant, or
	// of all users' if the subject is the tenant. No token ends with it.
	KindPermissions Kind = "permissions"
)

// Revocation says that what was allowed before is so no more.
type Revocation struct {
	Kind Kind
	// Subject is the session, the user or the tenant.
	Subject uuid.UUID
	// Tenant is where it happens; equal to Subject for KindTenant.
	Tenant uuid.UUID
	// At is when it took effect.
	At time.Time
	// Expires is when no token that it concerns can be valid any more.
	Expires time.Time
}

// Concerns reports whether it ends what the caller does: as Check does, but for
// the caller's token alone.
func (r Revocation) Concerns(c *identity.Caller) bool {
	switch r.Kind {
	case KindSession:
		return c.Session == r.Subject
	case KindUser:
		return c.Subject == r.Subject && c.Tenant.ID() == r.Tenant && !began(c.Session, c.AuthTime).After(r.At)
	case KindTenant:
		return c.Tenant.ID() == r.Subject && !c.Issued.After(r.At)
	}
	return false
}

// values are the fields of the entry in the Redis stream.
func (r Revocation) values() []any {
	return []any{
		"kind", string(r.Kind), "subject", r.Subject.String(), "tenant", r.Tenant.String(),
		"at", r.At.UnixMicro(), "expires", r.Expires.UnixMicro(),
	}
}

func revocationFrom(values map[string]any) (Revocation, error) {
	text := func(key string) string { s, _ := values[key].(string); return s }
	subject, err := uuid.Parse(text("subject"))
	if err != nil {
		return Revocation{}, fmt.Errorf("subject: %w", err)
	}
	tenant, err := uuid.Parse(text("tenant"))
	if err != nil {
		return Revocation{}, fmt.Errorf("tenant: %w", err)
	}
	at, err := strconv.ParseInt(text("at"), 10, 64)
	if err != nil {
		return Revocation{}, fmt.Errorf("at: %w", err)
	}
	expires, err := strconv.ParseInt(text("expires"), 10, 64)
	if err != nil {
		return Revocation{}, fmt.Errorf("expires: %w", err)
	}
	return Revocation{Kind(text("kind")), subject, tenant, time.UnixMicro(at), time.UnixMicro(expires)}, nil
}

// revoked is the set of revocations that still matter. Reading it allocates
// nothing.
type revoked struct {
	mu       sync.RWMutex
	sessions map[uuid.UUID]term
	users    map[userKey]term
	tenants  map[uuid.UUID]term
}

type userKey struct{ tenant, user uuid.UUID }

type term struct{ at, expires time.Time }

func newRevoked() *revoked {
	return &revoked{sessions: map[uuid.UUID]term{}, users: map[userKey]term{}, tenants: map[uuid.UUID]term{}}
}

// add reports whether r says anything new.
func (s *revoked) add(r Revocation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Kind {
	case KindSession:
		return extend(s.sessions, r.Subject, r)
	case KindUser:
		return extend(s.users, userKey{r.Tenant, r.Subject}, r)
	case KindTenant:
		return extend(s.tenants, r.Subject, r)
	case KindPermissions:
		return true // nothing to hold, and news each time: clocks differ
	}
	return false
}

func extend[K comparable](m map[K]term, key K, r Revocation) bool {
	old, ok := m[key]
	if ok && !r.At.After(old.at) && !r.Expires.After(old.expires) {
		return false
	}
	next := term{r.At, r.Expires}
	if ok && old.at.After(next.at) {
		next.at = old.at
	}
	if ok && old.expires.After(next.expires) {
		next.expires = old.expires
	}
	m[key] = next
	return true
}

// holds reports whether a token of this session, issued at issued, is revoked.
// A user's revocation goes by the beginning of the session, so that a token that
// was renewed at the same moment does not slip through.
func (s *revoked) holds(session, user, tenant uuid.UUID, began, issued time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, ok := s.sessions[session]; ok {
		return true
	}
	if t, ok := s.users[userKey{tenant, user}]; ok && !began.After(t.at) {
		return true
	}
	t, ok := s.tenants[tenant]
	return ok && !issued.After(t.at)
}

func (s *revoked) dropExpired(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	drop(s.sessions, now)
	drop(s.users, now)
	drop(s.tenants, now)
}

func drop[K comparable](m map[K]term, now time.Time) {
	for key, t := range m {
		if t.expires.Before(now) {
			delete(m, key)
		}
	}
}

func (s *revoked) len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.sessions) + len(s.users) + len(s.tenants)
}

// began returns when a session started, from its id, a UUIDv7, to the
// millisecond; fallback for an id of another version.
func began(id uuid.UUID, fallback time.Time) time.Time {
	if id.Version() != 7 {
		return fallback
	}
	ms := int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 | int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5])
	return time.UnixMilli(ms)
}
