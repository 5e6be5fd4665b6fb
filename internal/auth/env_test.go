package auth

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/session"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

const password = "correct horse battery"

// cheap keeps tests fast; what a hash costs is the default's business.
var cheap = argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// from is the context of a request from this client.
func from(ctx context.Context, agent, ip string) context.Context {
	r := &http.Request{Header: http.Header{"User-Agent": {agent}}, RemoteAddr: ip}
	return identity.WithClient(r.WithContext(ctx)).Context()
}

// env is one process that does everything, on a real database.
type env struct {
	*dbtest.Env
	clock       *dbtest.Clock
	sealer      *Sealer
	keys        *Keys
	ring        *KeyRing // of the issuer
	public      *KeyRing // of the verifier
	issuer      *Issuer
	verifier    *Verifier
	revocations *session.Revocations
	live        *session.Live
	auth        *Auth
	token       TokenOptions
}

func newEnv(t testing.TB) *env { return newEnvOn(t, dbtest.New(t)) }

func newEnvOn(t testing.TB, base *dbtest.Env) *env {
	t.Helper()
	e := &env{Env: base, clock: dbtest.NewClock()}
	quiet := slog.New(slog.DiscardHandler)
	must(t, func() (err error) { e.sealer, err = NewSealer(make([]byte, MasterKeySize)); return })
	store, router := e.DB.PlatformStore(db.ServiceAuth), e.DB.PlatformStore(db.ServiceRouter)
	e.token = TokenOptions{Issuer: "https://issuer.test", Audience: "https://api.test", Clock: e.clock.Now}
	e.keys = NewKeys(KeysOptions{Store: store, Sealer: e.sealer, TokenLifetime: DefaultTokenLifetime, Clock: e.clock.Now, Logger: quiet})
	must(t, func() error { return e.keys.EnsureKeys(t.Context()) })
	e.ring = NewKeyRing(KeyRingOptions{Source: IssuerKeys(store, e.sealer), TokenLifetime: DefaultTokenLifetime, Clock: e.clock.Now})
	must(t, func() error { return e.ring.Refresh(t.Context()) })
	e.public = NewKeyRing(KeyRingOptions{Source: VerifierKeys(router, e.sealer), TokenLifetime: DefaultTokenLifetime, Clock: e.clock.Now})
	must(t, func() error { return e.public.Refresh(t.Context()) })
	must(t, func() (err error) { e.issuer, err = NewIssuer(e.ring, e.token); return })
	must(t, func() (err error) {
		e.revocations, err = session.NewRevocations(session.RevocationsOptions{
			Store: router, Redis: e.Redis, Prefix: e.Prefix, TokenLifetime: DefaultTokenLifetime, Clock: e.clock.Now, Logger: quiet,
		})
		return
	})
	e.live = session.NewLive(session.LiveOptions{Redis: e.Redis, Prefix: e.Prefix, Store: router, Logger: quiet})
	must(t, func() (err error) {
		e.verifier, err = NewVerifier(VerifierOptions{
			Ring: e.public, Store: &router.Store, Revocations: e.revocations, Live: e.live, Token: e.token,
		})
		return
	})
	must(t, func() error { return e.revocations.Load(t.Context()) })
	must(t, func() error {
		passwords, err := NewPasswords(PasswordOptions{Params: &cheap})
		if err != nil {
			return err
		}
		e.auth, err = New(Options{
			Store: store, Sealer: e.sealer, Issuer: e.issuer, Passwords: passwords, Revocations: e.revocations,
			Clock: e.clock.Now, Logger: quiet,
		})
		return err
	})
	return e
}

// advance moves the clock of a process whose feeds go on.
func (e *env) advance(t testing.TB, d time.Duration) {
	t.Helper()
	e.clock.Advance(d)
	must(t, func() error { return e.revocations.Load(t.Context()) })
}

// member makes somebody with the password above who belongs to the tenants.
func (e *env) member(t testing.TB, tenants ...db.Tenant) (id uuid.UUID, email string) {
	t.Helper()
	email = "p" + uuid.NewString()[:8] + "@example.test"
	must(t, func() (err error) {
		id, err = e.auth.EnsureIdentity(t.Context(), NewIdentity{Email: email, Password: password, Verified: true})
		return
	})
	for _, tenant := range tenants {
		must(t, func() error { return e.auth.store.Platform().AddMembership(t.Context(), id, tenant.ID()) })
	}
	return id, email
}

// login signs a fresh member of the tenant in.
func (e *env) login(t testing.TB, tenant db.Tenant) *LoginResult {
	t.Helper()
	_, email := e.member(t, tenant)
	var result *LoginResult
	must(t, func() (err error) {
		result, err = e.auth.Login(t.Context(), LoginInput{Email: email, Password: password})
		return
	})
	return result
}

// exec runs SQL as the superuser, to set up what no service may do.
func (e *env) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	must(t, func() error { _, err := e.Connect(t, "postgres").Exec(context.Background(), sql, args...); return err })
}

// count runs SQL that counts, as the superuser.
func (e *env) count(t testing.TB, sql string, args ...any) (n int) {
	t.Helper()
	must(t, func() error { return e.Connect(t, "postgres").QueryRow(context.Background(), sql, args...).Scan(&n) })
	return n
}

func must(t testing.TB, fn func() error) {
	t.Helper()
	if err := fn(); err != nil {
		t.Fatal(err)
	}
}

func wantFault(t testing.TB, err error, code fault.Code, field string) {
	t.Helper()
	f, ok := fault.As(err)
	if !ok || f.Code != code || f.Field != field {
		t.Fatalf("got error %v, want %s of field %q", err, code, field)
	}
}
