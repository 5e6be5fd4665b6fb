package session

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/permission"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// patience replaces the short waits where a test expects an answer, so that a
// busy machine fails none.
const patience = time.Minute

var quiet = slog.New(slog.DiscardHandler)

type env struct {
	*dbtest.Env
	clock    *dbtest.Clock
	live     *Live
	sessions *Sessions
}

func newEnv(t testing.TB) *env {
	t.Helper()
	e := &env{Env: dbtest.New(t), clock: dbtest.NewClock()}
	e.live = NewLive(LiveOptions{Redis: e.Redis, Prefix: e.Prefix, Store: e.DB.PlatformStore(db.ServiceRouter), Logger: quiet})
	e.live.wait = patience
	e.sessions = NewSessions(SessionsOptions{Store: e.DB.Store(db.ServiceSession), Permissions: permission.New(permission.Options{Store: e.DB.Store(db.ServiceSession)}), Live: e.live, Clock: e.clock.Now})
	return e
}

// process is the revocation state of one process of the environment.
func (e *env) process(t testing.TB, client redis.UniversalClient) *Revocations {
	t.Helper()
	r, err := NewRevocations(RevocationsOptions{
		Store: e.DB.PlatformStore(db.ServiceRouter), Redis: client, Prefix: e.Prefix,
		TokenLifetime: 5 * time.Minute, Clock: e.clock.Now, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.confirm = patience
	return r
}

// follow runs r's feeds until the test ends.
func follow(t testing.TB, r *Revocations) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// user makes an identity that is a member of the tenant and returns it as a
// caller without a session.
func (e *env) user(t *testing.T, tenant db.Tenant) *identity.Caller {
	t.Helper()
	id := uuid.New()
	q := e.DB.PlatformStore(db.ServiceAuth).Platform()
	if err := q.CreateIdentity(t.Context(), platformdb.CreateIdentityParams{ID: id, Email: id.String() + "@example.test"}); err != nil {
		t.Fatal(err)
	}
	if _, err := q.SetFirstPassword(t.Context(), platformdb.SetFirstPasswordParams{IdentityID: id, Hash: "$argon2id$", ChangedAt: e.clock.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := q.AddMembership(t.Context(), id, tenant.ID()); err != nil {
		t.Fatal(err)
	}
	return &identity.Caller{Subject: id, Tenant: tenant, AuthTime: e.clock.Now()}
}

// start begins a session of the user and returns its id.
func (e *env) start(t *testing.T, user *identity.Caller) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	credential := sha256.Sum256([]byte("$argon2id$"))
	hash := make([]byte, 32)
	copy(hash, id[:])
	n, err := e.DB.PlatformStore(db.ServiceAuth).Platform().StartSession(t.Context(), platformdb.StartSessionParams{
		ID: id, IdentityID: user.Subject, TenantID: user.Tenant.ID(), Credential: credential[:], AuthTime: e.clock.Now(),
		DeviceID: uuid.New(), UserAgent: "curl/8.1", Ip: "192.0.2.1", Amr: []string{"pwd"},
		StartedAt: e.clock.Now(), ExpiresAt: e.clock.Now().Add(time.Hour),
		RefreshHash: hash, RefreshExpiresAt: e.clock.Now().Add(time.Hour),
	})
	if err != nil || n != 1 {
		t.Fatalf("start a session: %d, %v", n, err)
	}
	return id
}

// as returns a context in which the user asks through a session.
func as(t *testing.T, user *identity.Caller, session uuid.UUID) context.Context {
	t.Helper()
	caller := *user
	caller.Session = session
	return identity.NewContext(t.Context(), &caller)
}

// end ends a session as signing out does, without publishing it.
func (e *env) end(t *testing.T, r *Revocations, user *identity.Caller, session uuid.UUID) Revocation {
	t.Helper()
	var revocation Revocation
	err := e.DB.Store(db.ServiceAuth).PlatformFor(user.Tenant).Tx(t.Context(), func(q *platformdb.Queries) error {
		made, ended, err := r.EndSession(t.Context(), q, Ending{Session: session, User: user.Subject, Tenant: user.Tenant.ID(), Reason: "test"})
		if err == nil && !ended {
			t.Errorf("session %s had ended before", session)
		}
		revocation = made
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return revocation
}

// exec runs SQL as the superuser, to set up what no service may do.
func (e *env) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := e.Connect(t, "postgres").Exec(context.Background(), sql, args...); err != nil {
		t.Fatal(err)
	}
}
