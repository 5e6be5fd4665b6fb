package session

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// nowhere is a Redis that does not answer.
func nowhere(t *testing.T) redis.UniversalClient {
	client := redis.NewClient(&redis.Options{
		MaxRetries: -1, DialerRetries: 1,
		Dialer: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("nobody answers") },
	})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func load(t testing.TB, r *Revocations) *Revocations {
	t.Helper()
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// wantCheck asserts what r says of the session: no code means that it counts.
func wantCheck(t *testing.T, r *Revocations, user *identity.Caller, session uuid.UUID, code fault.Code) {
	t.Helper()
	caller := *user
	caller.Session = session
	err := r.Check(&caller, r.clock())
	if code == "" && err != nil || code != "" && !fault.Is(err, code) {
		t.Fatalf("got %v, want %q", err, code)
	}
}

// insert writes a revocation's row as a service does, without publishing it.
func (e *env) insert(t *testing.T, r *Revocations, kind Kind, subject, tenant uuid.UUID) Revocation {
	t.Helper()
	revocation, err := r.Record(t.Context(), e.DB.PlatformStore(db.ServiceAuth).Platform().Queries, kind, subject, tenant)
	if err != nil {
		t.Fatal(err)
	}
	return revocation
}

func TestNothingCountsBeforeLoad(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	r := e.process(t, e.Redis)
	user := e.user(t, e.Tenant(t))
	wantCheck(t, r, user, uuid.New(), fault.CodeUnavailable)
	if r.Healthy() {
		t.Error("healthy")
	}
	load(t, r)
	wantCheck(t, r, user, uuid.New(), "")
	if !r.Healthy() {
		t.Error("not healthy")
	}
}

func TestLoadReadsWhatIsInForce(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	user := e.user(t, e.Tenant(t))
	writer := e.process(t, e.Redis)
	old, recent := e.start(t, user), e.start(t, user)
	e.end(t, writer, user, old)
	e.clock.Advance(writer.lifetime + expiryMargin)
	e.end(t, writer, user, recent)
	r := load(t, e.process(t, e.Redis))
	wantCheck(t, r, user, old, "") // no token of it is valid any more
	wantCheck(t, r, user, recent, fault.CodeUnauthenticated)
}

func TestPublishReachesEveryProcessBeforeItReturns(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	user := e.user(t, e.Tenant(t))
	var processes [3]*Revocations
	for i := range processes {
		processes[i] = load(t, e.process(t, e.Redis))
		follow(t, processes[i])
	}
	for range 10 {
		session := e.start(t, user)
		if processes[0].Publish(t.Context(), e.end(t, processes[0], user, session)) {
			t.Fatal("pending")
		}
		for _, r := range processes {
			wantCheck(t, r, user, session, fault.CodeUnauthenticated)
		}
	}
}

func TestPublishOutlivesItsRequest(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	user := e.user(t, e.Tenant(t))
	session := e.start(t, user)
	first, second := load(t, e.process(t, e.Redis)), load(t, e.process(t, e.Redis))
	follow(t, second)
	revocation := e.end(t, first, user, session)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if first.Publish(ctx, revocation) {
		t.Fatal("pending")
	}
	wantCheck(t, second, user, session, fault.CodeUnauthenticated)
}

func TestPublishIsPendingWhenAProcessIsSilent(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	user := e.user(t, e.Tenant(t))
	session := e.start(t, user)
	r := load(t, e.process(t, e.Redis))
	r.confirm = 20 * time.Millisecond
	load(t, e.process(t, e.Redis)) // registered, and never follows
	if !r.Publish(t.Context(), e.end(t, r, user, session)) {
		t.Fatal("confirmed by a process that does not read")
	}
	wantCheck(t, r, user, session, fault.CodeUnauthenticated)
}

func TestPublishDoesNotWaitForTheDead(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	user := e.user(t, e.Tenant(t))
	session := e.start(t, user)
	r := load(t, e.process(t, e.Redis))
	dead := load(t, e.process(t, e.Redis))
	names := keys{e.Prefix}
	if err := e.Redis.Del(t.Context(), names.process(dead.process)).Err(); err != nil { // as it expires
		t.Fatal(err)
	}
	if r.Publish(t.Context(), e.end(t, r, user, session)) {
		t.Fatal("pending")
	}
	if e.Redis.SIsMember(t.Context(), names.processes(), dead.process).Val() {
		t.Error("the dead process is still registered")
	}
}

func TestAProcessThatEndsIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	r := load(t, e.process(t, e.Redis))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	names := keys{e.Prefix}
	if n := e.Redis.Exists(t.Context(), names.processes(), names.process(r.process)).Val(); n != 0 {
		t.Fatalf("%d keys remain", n)
	}
}

func TestLosingRedisForgetsNothing(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	user := e.user(t, e.Tenant(t))
	session := e.start(t, user)
	without := load(t, e.process(t, nowhere(t)))
	other := load(t, e.process(t, nowhere(t)))
	if !without.Publish(t.Context(), e.end(t, without, user, session)) {
		t.Fatal("confirmed without Redis")
	}
	wantCheck(t, without, user, session, fault.CodeUnauthenticated)
	wantCheck(t, other, user, session, "")
	if err := other.poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantCheck(t, other, user, session, fault.CodeUnauthenticated)
}

// A cursor over a sequence would pass over the row that commits late.
func TestPollSeesARowThatCommitsLate(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	user := e.user(t, e.Tenant(t))
	late, early := e.start(t, user), e.start(t, user)
	r := load(t, e.process(t, nowhere(t)))

	conn := e.Connect(t, "postgres")
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `INSERT INTO platform.revocations (kind, subject, tenant_id, created_at, expires_at)
		VALUES ('session', $1, $2, $3, $4)`, late, user.Tenant.ID(), e.clock.Now(), e.clock.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	e.end(t, r, user, early) // a later id, committed first
	if err := r.poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantCheck(t, r, user, early, fault.CodeUnauthenticated)
	wantCheck(t, r, user, late, "")
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantCheck(t, r, user, late, fault.CodeUnauthenticated)
}

func TestListenersHearEachRevocationOnce(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	user := e.user(t, e.Tenant(t))
	session := e.start(t, user)
	r := e.process(t, e.Redis)
	var heard []Revocation
	r.OnRevoked(func(revocation Revocation) {
		if revocation.Tenant != user.Tenant.ID() {
			return // another test's
		}
		wantCheck(t, r, user, session, fault.CodeUnauthenticated) // it already counts
		heard = append(heard, revocation)
	})
	load(t, r)
	r.Publish(t.Context(), e.end(t, r, user, session))
	if _, err := r.read(t.Context(), firstPosition); err != nil {
		t.Fatal(err)
	}
	if err := r.poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(heard) != 1 || heard[0].Subject != session || heard[0].Kind != KindSession {
		t.Fatalf("heard %+v", heard)
	}
}

func TestRubbishInTheStreamIsPassedOver(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	user := e.user(t, e.Tenant(t))
	session := e.start(t, user)
	sender, reader := load(t, e.process(t, e.Redis)), e.process(t, e.Redis)
	for _, values := range [][]any{
		{"hello", "world"}, {"kind", "session", "subject", "x"},
		{"kind", "planet", "subject", uuid.NewString(), "tenant", uuid.NewString(), "at", "1", "expires", "99999999999999999"},
		{"kind", "session", "subject", uuid.NewString(), "tenant", uuid.NewString(), "at", "x", "expires", "1"},
	} {
		if err := e.Redis.XAdd(t.Context(), &redis.XAddArgs{Stream: keys{e.Prefix}.stream(), Values: values}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	sender.Publish(t.Context(), e.end(t, sender, user, session))
	if _, err := reader.read(t.Context(), firstPosition); err != nil {
		t.Fatal(err)
	}
	if n := reader.Len(); n != 1 {
		t.Fatalf("%d revocations", n)
	}
}

func TestWhatIsRevoked(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	tenant, other := e.Tenant(t), e.Tenant(t)
	user := e.user(t, tenant)
	elsewhere := *user
	elsewhere.Tenant = other
	r := load(t, e.process(t, nowhere(t)))
	before := e.start(t, user)
	e.clock.Advance(time.Minute)
	r.apply(e.insert(t, r, KindUser, user.Subject, tenant.ID()))
	load(t, r) // the clock has moved
	wantCheck(t, r, user, before, fault.CodeUnauthenticated)
	wantCheck(t, r, &elsewhere, before, "")
	after := before
	ms := e.clock.Now().UnixMilli() + 1
	for i := range 6 {
		after[i] = byte(ms >> (8 * (5 - i)))
	}
	wantCheck(t, r, user, after, "")

	r.apply(e.insert(t, r, KindTenant, tenant.ID(), tenant.ID()))
	wantCheck(t, r, user, after, fault.CodeUnauthenticated)
	wantCheck(t, r, &elsewhere, after, "")
	e.clock.Advance(time.Second) // a token issued later, by the same session
	wantCheck(t, r, user, after, "")

	e.clock.Advance(r.lifetime + expiryMargin)
	r.set.dropExpired(e.clock.Now())
	if r.set.holds(before, user.Subject, tenant.ID(), time.Time{}, time.Time{}) {
		t.Fatal("what has expired is kept")
	}
}

func TestBothFeedsLost(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	user := e.user(t, e.Tenant(t))
	session := uuid.New()
	r := load(t, e.process(t, nowhere(t)))
	broken, err := db.Open(db.Config{URL: e.URL, Secret: []byte("not the secret of these logins")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broken.Close)
	good := r.store
	r.store = broken.PlatformStore(db.ServiceRouter)
	r.tick(t.Context())
	if r.Healthy() {
		t.Fatal("healthy without any feed: mutations would go on")
	}
	wantFault(t, r.AllowMutations(), fault.CodeUnavailable)
	wantCheck(t, r, user, session, "") // queries live on the last state
	e.clock.Advance(maxAge + time.Second)
	wantCheck(t, r, user, session, fault.CodeUnavailable)

	r.store = good
	if err := r.poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantCheck(t, r, user, session, "")
}

func TestCheckAllocatesNothing(t *testing.T) {
	e := newEnv(t)
	r := load(t, e.process(t, nowhere(t)))
	user := e.user(t, e.Tenant(t))
	user.Session = e.start(t, user)
	r.apply(Revocation{KindUser, user.Subject, user.Tenant.ID(), e.clock.Now().Add(-time.Hour), e.clock.Now().Add(time.Hour)})
	now := e.clock.Now()
	if n := testing.AllocsPerRun(100, func() {
		if err := r.Check(user, now); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestTheScopedRoleRevokesInItsTenantOnly(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	tenant, other := e.Tenant(t), e.Tenant(t)
	user, stranger := e.user(t, tenant), e.user(t, other)
	session := e.start(t, stranger)
	r := e.process(t, e.Redis)
	err := e.DB.Store(db.ServiceSession).PlatformFor(user.Tenant).Tx(t.Context(), func(q *platformdb.Queries) error {
		_, ended, err := r.EndSession(t.Context(), q, Ending{Session: session, User: stranger.Subject, Tenant: other.ID(), Reason: "test"})
		if ended {
			t.Error("another tenant's session was ended")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Record(t.Context(), e.DB.Store(db.ServiceSession).PlatformFor(tenant).Queries, KindTenant, other.ID(), other.ID())
	if err == nil {
		t.Fatal("another tenant was revoked")
	}
}
