package auth

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/session"
)

func TestAuthenticateNamesTheCaller(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	tenant := e.Tenant(t)
	result := e.login(t, tenant)
	got, err := e.verifier.Authenticate(t.Context(), result.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	now := e.clock.Now().Truncate(time.Second)
	want := &identity.Caller{
		Subject: result.UserID, Session: result.SessionID, Tenant: tenant, Plan: "standard", Epoch: 1,
		AuthTime: now, Issued: now, Expires: now.Add(DefaultTokenLifetime),
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b db.Tenant) bool { return a == b })); diff != "" {
		t.Fatal(diff)
	}
	again, err := e.verifier.Authenticate(t.Context(), result.AccessToken)
	if err != nil || again != got {
		t.Fatalf("the second time: %v, %v; want the same caller from the cache", again, err)
	}
}

// A plan is told with the caller, follows the directory, and is found without a look
// at it.
func TestACallersPlan(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	in := e.Tenant(t)
	result := e.login(t, in)
	before, err := e.verifier.Authenticate(t.Context(), result.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	e.exec(t, "UPDATE platform.tenants SET plan = 'gold' WHERE id = $1", in.ID())
	if got := e.verifier.Plan(before); got != "standard" {
		t.Errorf("within the time of a look: %q", got)
	}
	e.verifier.tenants.Invalidate(in.ID())
	if got := e.verifier.Plan(before); got != "standard" {
		t.Errorf("what nobody has looked up is what the caller had: %q", got)
	}
	after, err := e.verifier.Authenticate(t.Context(), result.AccessToken)
	if err != nil || after.Plan != "gold" || after.Tenant != in {
		t.Errorf("%+v, %v", after, err)
	}
	if got := e.verifier.Plan(before); got != "gold" {
		t.Errorf("of a caller from before: %q", got)
	}
}

func TestAuthenticateAllocatesNothing(t *testing.T) {
	e := newEnv(t)
	result := e.login(t, e.Tenant(t))
	ctx := t.Context()
	authenticate := func() {
		if _, err := e.verifier.Authenticate(ctx, result.AccessToken); err != nil {
			t.Fatal(err)
		}
	}
	authenticate()
	if n := testing.AllocsPerRun(100, authenticate); n != 0 {
		t.Fatalf("%v allocations for a cached token", n)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	e := newEnv(b)
	token := e.login(b, e.Tenant(b)).AccessToken
	for name, cached := range map[string]bool{"cached": true, "fresh": false} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !cached {
					e.verifier.tokens.InvalidateAll()
				}
				if _, err := e.verifier.Authenticate(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestExpiredTokenIsRefusedThoughCached(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	result := e.login(t, e.Tenant(t))
	if _, err := e.verifier.Authenticate(t.Context(), result.AccessToken); err != nil {
		t.Fatal(err)
	}
	e.clock.Advance(DefaultTokenLifetime + 10*time.Second)
	_, err := e.verifier.Authenticate(t.Context(), result.AccessToken)
	wantFault(t, err, fault.CodeUnauthenticated, "")
}

func TestRevocationWinsOverTheCache(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for name, revoke := range map[string]struct {
		kind    session.Kind
		subject func(*LoginResult) uuid.UUID
	}{
		"session": {session.KindSession, func(r *LoginResult) uuid.UUID { return r.SessionID }},
		"user":    {session.KindUser, func(r *LoginResult) uuid.UUID { return r.UserID }},
		"tenant":  {session.KindTenant, func(r *LoginResult) uuid.UUID { return r.TenantID }},
	} {
		t.Run(name, func(t *testing.T) {
			revoked, bystander := e.login(t, e.Tenant(t)), e.login(t, e.Tenant(t))
			for _, result := range []*LoginResult{revoked, bystander} {
				if _, err := e.verifier.Authenticate(t.Context(), result.AccessToken); err != nil {
					t.Fatal(err)
				}
			}
			var revocation session.Revocation
			must(t, func() error {
				return e.auth.store.Platform().Tx(t.Context(), func(q *platformdb.Queries) (err error) {
					revocation, err = e.revocations.Record(t.Context(), q, revoke.kind, revoke.subject(revoked), revoked.TenantID)
					return err
				})
			})
			e.revocations.Publish(t.Context(), revocation)
			_, err := e.verifier.Authenticate(t.Context(), revoked.AccessToken)
			wantFault(t, err, fault.CodeUnauthenticated, "")
			if _, err := e.verifier.Authenticate(t.Context(), bystander.AccessToken); err != nil {
				t.Fatalf("somebody else is refused: %v", err)
			}
		})
	}
}

func TestSignInAfterTheUserWasRevoked(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	tenant := e.Tenant(t)
	id, email := e.member(t, tenant)
	must(t, func() error {
		return e.auth.store.Platform().Tx(t.Context(), func(q *platformdb.Queries) error {
			revocation, err := e.revocations.Record(t.Context(), q, session.KindUser, id, tenant.ID())
			if err == nil {
				e.revocations.Publish(t.Context(), revocation)
			}
			return err
		})
	})
	e.clock.Advance(time.Millisecond)
	result, err := e.auth.Login(t.Context(), LoginInput{Email: email, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.verifier.Authenticate(t.Context(), result.AccessToken); err != nil {
		t.Fatalf("a session that began after the revocation is refused: %v", err)
	}
}

func TestTenantStates(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for state, code := range map[string]fault.Code{
		"suspended": fault.CodeTenantSuspended, "provisioning": fault.CodeTenantNotReady, "deleting": fault.CodeUnauthenticated,
	} {
		t.Run(state, func(t *testing.T) {
			result := e.login(t, e.Tenant(t))
			if _, err := e.verifier.Authenticate(t.Context(), result.AccessToken); err != nil {
				t.Fatal(err)
			}
			e.exec(t, "UPDATE platform.tenants SET state = $2 WHERE id = $1", result.TenantID, state)
			must(t, func() error {
				return e.auth.store.Platform().Tx(t.Context(), func(q *platformdb.Queries) error {
					revocation, err := e.revocations.Record(t.Context(), q, session.KindTenant, result.TenantID, result.TenantID)
					e.revocations.Publish(t.Context(), revocation)
					return err
				})
			})
			_, err := e.verifier.Authenticate(t.Context(), result.AccessToken)
			wantFault(t, err, code, "")
		})
	}
}

func TestFeedLost(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	result := e.login(t, e.Tenant(t))
	if _, err := e.verifier.Authenticate(t.Context(), result.AccessToken); err != nil {
		t.Fatal(err)
	}
	e.clock.Advance(10 * time.Second) // nobody follows the feeds in this test
	if _, err := e.verifier.Authenticate(t.Context(), result.AccessToken); err != nil {
		t.Fatalf("10 s after the last answer: %v", err)
	}
	e.clock.Advance(time.Second)
	_, err := e.verifier.Authenticate(t.Context(), result.AccessToken)
	wantFault(t, err, fault.CodeUnavailable, "")
}

func TestDatabaseOutOfReach(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	result := e.login(t, e.Tenant(t))
	closed, err := db.Open(db.Config{URL: e.URL, Secret: []byte("not the secret of these logins")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closed.Close)
	e.verifier.store = closed.Store(db.ServiceRouter)
	_, err = e.verifier.Authenticate(t.Context(), result.AccessToken)
	wantFault(t, err, fault.CodeUnavailable, "")
	e.verifier.store = e.DB.Store(db.ServiceRouter)
	if _, err := e.verifier.Authenticate(t.Context(), result.AccessToken); err != nil {
		t.Fatalf("once it is back: %v", err)
	}
}

func TestBearerToken(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		headers []string
		want    string
		code    fault.Code
	}{
		"anonymous":    {nil, "", ""},
		"token":        {[]string{"Bearer abc.def-_~+/="}, "abc.def-_~+/=", ""},
		"lower case":   {[]string{"bearer abc"}, "abc", ""},
		"empty":        {[]string{""}, "", fault.CodeUnauthenticated},
		"no token":     {[]string{"Bearer"}, "", fault.CodeUnauthenticated},
		"empty token":  {[]string{"Bearer "}, "", fault.CodeUnauthenticated},
		"two spaces":   {[]string{"Bearer  abc"}, "", fault.CodeUnauthenticated},
		"two tokens":   {[]string{"Bearer abc def"}, "", fault.CodeUnauthenticated},
		"list":         {[]string{"Bearer abc, Bearer def"}, "", fault.CodeUnauthenticated},
		"two headers":  {[]string{"Bearer abc", "Bearer abc"}, "", fault.CodeUnauthenticated},
		"other scheme": {[]string{"Basic YTpi"}, "", fault.CodeUnauthenticated},
		"other bytes":  {[]string{"Bearer \x00\xff"}, "", fault.CodeUnauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := BearerToken(&http.Request{Header: http.Header{"Authorization": test.headers}})
			var f *fault.Error
			errors.As(err, &f)
			if got != test.want || (f == nil) != (test.code == "") || f != nil && f.Code != test.code {
				t.Fatalf("got %q, %v", got, err)
			}
		})
	}
}

// A service behind the router checks tokens again with svc_verify's rights and
// the claim sealing key, and with no more than that.
func TestVerificationNeedsLittle(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	signedIn := e.login(t, e.Tenant(t))
	key, err := ClaimSealingKey(make([]byte, MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	opener, err := NewClaimOpener(key)
	if err != nil {
		t.Fatal(err)
	}
	own, err := db.Open(db.Config{URL: e.URL, Passwords: db.Passwords(dbtest.Secret, 0, db.ServiceVerify)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Close)
	store := own.PlatformStore(db.ServiceVerify)
	ring := NewKeyRing(KeyRingOptions{Source: VerifierKeys(store, opener), TokenLifetime: DefaultTokenLifetime, Clock: e.clock.Now})
	must(t, func() error { return ring.Refresh(t.Context()) })
	revocations, err := session.NewRevocations(session.RevocationsOptions{
		Store: store, Redis: e.Redis, Prefix: e.Prefix, TokenLifetime: DefaultTokenLifetime, Clock: e.clock.Now,
	})
	must(t, func() error { return err })
	verifier, err := NewVerifier(VerifierOptions{Ring: ring, Store: &store.Store, Revocations: revocations, Token: e.token})
	must(t, func() error { return err })
	must(t, func() error { return revocations.Load(t.Context()) })
	caller, err := verifier.Authenticate(t.Context(), signedIn.AccessToken)
	must(t, func() error { return err })
	want, err := e.verifier.Authenticate(t.Context(), signedIn.AccessToken)
	must(t, func() error { return err })
	if caller.Subject != want.Subject || caller.Session != want.Session || caller.Tenant != want.Tenant {
		t.Errorf("got %+v, want %+v", caller, want)
	}
	issuer, err := NewIssuer(ring, e.token)
	must(t, func() error { return err })
	if _, _, err := issuer.Issue(Grant{Subject: caller.Subject, Session: caller.Session, Tenant: caller.Tenant.ID()}); err == nil {
		t.Error("a verifier's keys issue tokens")
	}
}
