package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

const (
	// pollEvery is how often each process asks PostgreSQL for new revocations.
	pollEvery = 2 * time.Second
	// maxAge is how long the last known state may serve when neither Redis nor
	// PostgreSQL answers.
	maxAge = 10 * time.Second
	// confirmWithin bounds the wait for the other processes.
	confirmWithin = 250 * time.Millisecond
	// expiryMargin is kept on top of a token's lifetime for clocks that differ.
	expiryMargin = time.Minute
)

var (
	errRevoked = fault.Unauthenticated("this sign-in has ended; sign in again")
	errLost    = fault.Unavailable("whether this sign-in still counts cannot be told at the moment; try again")
)

// Revocations is what one process knows of revoked sessions, users and tenants.
//
// A revocation is a row in PostgreSQL first, in the transaction of its cause
// (Record, EndSession). After the commit, Publish applies it here and sends it
// through a Redis stream to every other process; each of them also reads new
// rows every 2 s, so that Redis may lose anything. Load must succeed before the
// process answers requests, and Run follows both feeds.
type Revocations struct {
	store    *db.PlatformStore
	members  *db.Store
	redis    redis.UniversalClient
	keys     keys
	process  string
	lifetime time.Duration
	confirm  time.Duration // how long Publish waits
	clock    func() time.Time
	logger   *slog.Logger

	set       *revoked
	listeners []func(Revocation)

	polling sync.Mutex
	cursor  string // where the next poll begins; guarded by polling

	redisFeed, postgresFeed feed
}

// RevocationsOptions are what NewRevocations needs.
type RevocationsOptions struct {
	// Store reads the rows; of the service svc_router.
	Store *db.PlatformStore
	// Members writes what PermissionsChanged and MemberEnded change, as one tenant:
	// of a service that may see the platform so. Store's if nil.
	Members *db.Store
	Redis   redis.UniversalClient
	// Prefix begins every key in Redis; DefaultPrefix if empty. Processes that
	// serve the same database share it.
	Prefix string
	// TokenLifetime is the longest that an access token can be valid, with
	// leeway: how long a revocation is remembered.
	TokenLifetime time.Duration
	// Clock is time.Now if nil.
	Clock func() time.Time
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
}

// NewRevocations returns an empty state, which refuses every check until Load.
func NewRevocations(o RevocationsOptions) (*Revocations, error) {
	if o.TokenLifetime <= 0 {
		return nil, errors.New("revocations: the lifetime of access tokens must be positive")
	}
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Members == nil && o.Store != nil {
		o.Members = &o.Store.Store
	}
	return &Revocations{
		store: o.Store, members: o.Members, redis: o.Redis, keys: keys{o.Prefix}, process: uuid.NewString(),
		lifetime: o.TokenLifetime, confirm: confirmWithin, clock: o.Clock, logger: o.Logger,
		set: newRevoked(), cursor: firstCursor,
	}, nil
}

// OnRevoked registers fn to be called for each revocation this process learns of,
// once but for KindPermissions, which may come again, after Check refuses what it concerns. Register before Load. fn is
// called on the feed's goroutine and must not block.
func (r *Revocations) OnRevoked(fn func(Revocation)) { r.listeners = append(r.listeners, fn) }

// Load registers the process with the others and reads every revocation that is
// still in force. Redis may be missing; PostgreSQL may not.
func (r *Revocations) Load(ctx context.Context) error {
	// Registering comes first: whoever commits a row after this reading waits for
	// this process as well.
	if _, err := within(ctx, time.Second, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, r.acknowledge(ctx, firstPosition)
	}); err != nil {
		r.logger.WarnContext(ctx, "revocations: Redis does not answer, following PostgreSQL alone", "error", err)
	}
	if err := r.poll(ctx); err != nil {
		return fmt.Errorf("revocations: %w", err)
	}
	return nil
}

// Check says whether the caller's session still counts. It reads memory only.
// It fails with UNAUTHENTICATED if the session, the user or the tenant's tokens
// were revoked, and with UNAVAILABLE if that cannot be known: before Load, and
// when neither Redis nor PostgreSQL has answered for 10 s.
func (r *Revocations) Check(caller *identity.Caller, issued time.Time) error {
	if r.set.holds(caller.Session, caller.Subject, caller.Tenant.ID(), began(caller.Session, caller.AuthTime), issued) {
		return errRevoked
	}
	if r.Age() > maxAge {
		return errLost
	}
	return nil
}

// Age is how long ago Redis or PostgreSQL last confirmed the state; very long
// before Load.
func (r *Revocations) Age() time.Duration {
	last := max(r.redisFeed.last.Load(), r.postgresFeed.last.Load())
	return r.clock().Sub(time.UnixMilli(last))
}

// Healthy reports whether at least one feed answers. When it does not,
// mutations, starts of subscriptions and renewals have to be refused with
// UNAVAILABLE at once, while queries may go on for as long as Check lets them.
func (r *Revocations) Healthy() bool {
	return (r.redisFeed.up.Load() || r.postgresFeed.up.Load()) && r.Age() <= maxAge
}

// AllowMutations fails with UNAVAILABLE while Healthy is false: a change must not
// be made by somebody who may have been signed out.
func (r *Revocations) AllowMutations() error {
	if !r.Healthy() {
		return errLost
	}
	return nil
}

// Len is how many revocations are in memory, for metrics.
func (r *Revocations) Len() int { return r.set.len() }

// Record writes a revocation that takes effect now, with q, the queries of the
// transaction that makes the change; give the result to Publish after the commit.
func (r *Revocations) Record(ctx context.Context, q *platformdb.Queries, kind Kind, subject, tenant uuid.UUID) (Revocation, error) {
	now := r.clock()
	revocation := Revocation{kind, subject, tenant, now, now.Add(r.lifetime + expiryMargin)}
	err := q.InsertRevocation(ctx, platformdb.InsertRevocationParams{
		Kind: string(kind), Subject: subject, TenantID: tenant, At: now, ExpiresAt: revocation.Expires,
	})
	if err != nil {
		return Revocation{}, fmt.Errorf("revocation of %s %s: %w", kind, subject, err)
	}
	return revocation, nil
}

// Ending names a session to end and why.
type Ending struct {
	Session, User, Tenant uuid.UUID
	// Reason is kept with the session: a word or two, at most 64 characters.
	Reason string
}

// EndSession ends the session's row, writes its revocation and announces the end
// to the user's live subscriptions, with q, the queries of the transaction that is the cause. ended is false if the user has
// no such session or it had ended before; otherwise give the revocation to
// Publish after the commit.
func (r *Revocations) EndSession(ctx context.Context, q *platformdb.Queries, e Ending) (revocation Revocation, ended bool, err error) {
	now := r.clock()
	revocation = Revocation{KindSession, e.Session, e.Tenant, now, now.Add(r.lifetime + expiryMargin)}
	n, err := q.EndSession(ctx, platformdb.EndSessionParams{
		ID: e.Session, IdentityID: e.User, At: now, Reason: e.Reason, RevocationExpiresAt: revocation.Expires,
	})
	if err == nil && n > 0 {
		err = Emit(ctx, q, Change{EventEnded, e.Session, e.User, e.Tenant, now, e.Reason})
	}
	if err != nil {
		return Revocation{}, false, fmt.Errorf("end of session %s: %w", e.Session, err)
	}
	return revocation, n > 0, nil
}

// EndOtherSessions ends the user's live sessions that q may see, but that of
// e.Session, and writes their revocations, with q, the queries of the
// transaction that is the cause; give them to Publish after the commit.
// e.Tenant does not matter: q is bound to a tenant or is not.
func (r *Revocations) EndOtherSessions(ctx context.Context, q *platformdb.Queries, e Ending) ([]Revocation, error) {
	now := r.clock()
	expires := now.Add(r.lifetime + expiryMargin)
	rows, err := q.EndOtherSessions(ctx, platformdb.EndOtherSessionsParams{
		IdentityID: e.User, ExceptID: e.Session, At: now, Reason: e.Reason, RevocationExpiresAt: expires,
	})
	if err != nil {
		return nil, fmt.Errorf("end of the sessions of %s: %w", e.User, err)
	}
	revocations := make([]Revocation, len(rows))
	for i, row := range rows {
		revocations[i] = Revocation{KindSession, row.ID, row.TenantID, now, expires}
		if err := Emit(ctx, q, Change{EventEnded, row.ID, e.User, row.TenantID, now, e.Reason}); err != nil {
			return nil, err
		}
	}
	return revocations, nil
}

// apply takes over a revocation and tells the listeners, once.
func (r *Revocations) apply(revocation Revocation) {
	if revocation.Expires.Before(r.clock()) || !r.set.add(revocation) {
		return
	}
	for _, fn := range r.listeners {
		fn(revocation)
	}
}

// feed is the state of one of the two ways in which revocations arrive.
type feed struct {
	up   atomic.Bool
	last atomic.Int64 // when it last answered, in milliseconds since 1970
}

func (f *feed) answered(now time.Time) {
	f.last.Store(now.UnixMilli())
	f.up.Store(true)
}

// lost reports whether the feed was up until now.
func (f *feed) lost() bool { return f.up.Swap(false) }
