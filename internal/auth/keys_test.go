package auth

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
)

func TestSealedKeysAreBoundToTheirRow(t *testing.T) {
	t.Parallel()
	sealer, err := NewSealer(make([]byte, MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	sealed := sealer.seal(signingTable, "a", []byte("secret"))
	if plain, err := sealer.open(signingTable, "a", sealed); err != nil || string(plain) != "secret" {
		t.Fatalf("got %q, %v", plain, err)
	}
	otherKey := make([]byte, MasterKeySize)
	otherKey[0] = 1
	other, err := NewSealer(otherKey)
	if err != nil {
		t.Fatal(err)
	}
	altered := append([]byte(nil), sealed...)
	altered[len(altered)-1] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"another key id":     func() ([]byte, error) { return sealer.open(signingTable, "b", sealed) },
		"another table":      func() ([]byte, error) { return sealer.open(claimTable, "a", sealed) },
		"another master key": func() ([]byte, error) { return other.open(signingTable, "a", sealed) },
		"altered":            func() ([]byte, error) { return sealer.open(signingTable, "a", altered) },
		"empty":              func() ([]byte, error) { return sealer.open(signingTable, "a", nil) },
	} {
		if _, err := open(); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := NewSealer(make([]byte, 16)); err == nil {
		t.Error("a short master key is accepted")
	}
}

func TestAVerifierHoldsNoMoreThanItNeeds(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	key, err := ClaimSealingKey(make([]byte, MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	opener, err := NewClaimOpener(key)
	if err != nil {
		t.Fatal(err)
	}
	// It verifies as who holds the master key does.
	set, err := VerifierKeys(e.DB.PlatformStore(db.ServiceRouter), opener)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want, err := VerifierKeys(e.DB.PlatformStore(db.ServiceRouter), e.sealer)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, set, cmp.AllowUnexported(SigningKey{}, ClaimKey{})); diff != "" {
		t.Error(diff)
	}
	// And opens no private key, even from rows that it should never see: not
	// through the opener, and not with its key in any other place.
	rows, err := e.DB.PlatformStore(db.ServiceAuth).Platform().ListSigningKeys(t.Context())
	if err != nil || len(rows) == 0 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if _, err := opener.open(signingTable, rows[0].Kid, rows[0].PrivateSealed); err == nil {
		t.Error("a claim opener opens a private key")
	}
	if _, err := open(key, signingTable, rows[0].Kid, rows[0].PrivateSealed); !errors.Is(err, ErrSealed) {
		t.Errorf("the claim sealing key on a private key: %v", err)
	}
	wrong, err := NewSealer(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.open(signingTable, rows[0].Kid, rows[0].PrivateSealed); !errors.Is(err, ErrSealed) {
		t.Errorf("the claim sealing key as master key: %v", err)
	}
	for _, short := range [][]byte{nil, key[:16]} {
		if _, err := NewClaimOpener(short); err == nil {
			t.Errorf("a claim sealing key of %d bytes is accepted", len(short))
		}
		if _, err := ClaimSealingKey(short); err == nil {
			t.Errorf("a master key of %d bytes is accepted", len(short))
		}
	}
}

func TestEnsureKeysByManyAtOnce(t *testing.T) {
	t.Parallel()
	e := newEnvOn(t, dbtest.NewDatabase(t))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := e.keys.EnsureKeys(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, table := range []string{"signing_keys", "claim_keys"} {
		if n := e.count(t, "SELECT count(*) FROM platform."+table); n != 2 {
			t.Errorf("%d keys in %s, want an active and a next one", n, table)
		}
	}
}

func TestRotationRefusesNoToken(t *testing.T) {
	t.Parallel()
	e := newEnvOn(t, dbtest.NewDatabase(t))
	ctx := t.Context()
	tenant := e.Tenant(t)
	if err := e.keys.Rotate(ctx); !errors.Is(err, ErrTooSoon) {
		t.Fatalf("right after the first keys: %v, want ErrTooSoon", err)
	}
	old := e.login(t, tenant)
	oldKeys, oldKey := keyIDs(t, e.public.JWKS()), e.ring.current.Load().activeSigning
	e.clock.Advance(publishFor)
	must(t, func() error { return e.keys.Rotate(ctx) })

	// A verifier that has not looked yet knows the new key: it was published.
	must(t, func() error { return e.ring.Refresh(ctx) })
	must(t, func() error { return e.revocations.Load(ctx) })
	fresh := e.login(t, tenant)
	if diff := cmp.Diff(oldKeys, keyIDs(t, e.public.JWKS())); diff != "" {
		t.Fatalf("the verifier looked: %s", diff)
	}
	for name, result := range map[string]*LoginResult{"old": old, "fresh": fresh} {
		if _, err := e.verifier.Authenticate(ctx, result.AccessToken); err != nil {
			t.Fatalf("the %s token: %v", name, err)
		}
	}
	must(t, func() error { return e.public.Refresh(ctx) })
	if got := keyIDs(t, e.public.JWKS()); len(got) != 3 || !slices.Contains(got, oldKeys[0]) || !slices.Contains(got, oldKeys[1]) {
		t.Fatalf("published after the rotation: %v, before: %v", got, oldKeys)
	}
	// The retired key goes once no token of it can be valid, first from the ring
	// and with the next rotation from the database.
	e.clock.Advance(DefaultTokenLifetime + retirementMargin + time.Second)
	must(t, func() error { return e.public.Refresh(ctx) })
	if got := keyIDs(t, e.public.JWKS()); len(got) != 2 || slices.Contains(got, oldKey) {
		t.Fatalf("published when the last token has expired: %v", got)
	}
	must(t, func() error { return e.keys.Rotate(ctx) })
	if n := e.count(t, "SELECT count(*) FROM platform.signing_keys"); n != 3 {
		t.Fatalf("%d signing keys after the second rotation, want retired, active and next", n)
	}
}

func keyIDs(t *testing.T, jwks []byte) []string {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	ids := make([]string, len(set.Keys))
	for i, key := range set.Keys {
		ids[i] = key.KeyID
	}
	return ids
}

func TestJWKSHoldsNothingPrivate(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	recorder := httptest.NewRecorder()
	e.ring.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), "GET", "/.well-known/jwks.json", nil))
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(recorder.Body.Bytes(), &set); err != nil || len(set.Keys) < 2 {
		t.Fatalf("%s: %v", recorder.Body, err)
	}
	for _, key := range set.Keys {
		delete(key, "kid")
		delete(key, "x")
		if diff := cmp.Diff(map[string]string{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA"}, key); diff != "" {
			t.Error(diff)
		}
	}
}

func TestTheRouterCannotReadPrivateKeys(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	if _, err := IssuerKeys(e.DB.PlatformStore(db.ServiceRouter), e.sealer)(t.Context()); err == nil {
		t.Fatal("svc_router reads private keys")
	}
	if _, _, err := e.public.active(); err == nil {
		t.Fatal("a verifier's ring signs")
	}
}

func TestAnotherMasterKeyIsToldAtStart(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	key := make([]byte, MasterKeySize)
	key[0] = 1
	other, err := NewSealer(key)
	if err != nil {
		t.Fatal(err)
	}
	store := e.DB.PlatformStore(db.ServiceAuth)
	ring := NewKeyRing(KeyRingOptions{Source: IssuerKeys(store, other)})
	if err := ring.Refresh(t.Context()); !errors.Is(err, ErrSealed) {
		t.Fatalf("got %v", err)
	}
	e.clock.Advance(publishFor)
	keys := NewKeys(KeysOptions{Store: store, Sealer: other, TokenLifetime: DefaultTokenLifetime, Clock: e.clock.Now})
	if err := keys.Rotate(t.Context()); !errors.Is(err, ErrSealed) {
		t.Fatalf("rotated with another master key: %v", err)
	}
	if err := e.ring.Refresh(t.Context()); err != nil {
		t.Fatalf("a key that nobody can open: %v", err)
	}
}

func TestUnknownKeysDoNotReachTheDatabaseEachTime(t *testing.T) {
	t.Parallel()
	clock := dbtest.NewClock()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var reads atomic.Int64
	var failing atomic.Bool
	known := KeySet{Signing: []SigningKey{{ID: "one", State: KeyActive, Public: public, private: private}}}
	ring := NewKeyRing(KeyRingOptions{Clock: clock.Now, TokenLifetime: time.Minute, Source: func(context.Context) (KeySet, error) {
		reads.Add(1)
		if failing.Load() {
			return KeySet{}, errors.New("no answer")
		}
		return known, nil
	}})
	must(t, func() error { return ring.Refresh(t.Context()) })
	clock.Advance(unknownEvery)
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			if _, err := ring.signingKey(t.Context(), "two"); !errors.Is(err, errUnknownKey) {
				t.Errorf("got %v", err)
			}
		})
	}
	group.Wait()
	if n := reads.Load(); n != 2 {
		t.Fatalf("%d readings, want the first and one for 100 unknown ids", n)
	}
	known.Signing = append(known.Signing, SigningKey{ID: "two", State: KeyNext, Public: public})
	clock.Advance(unknownEvery)
	if _, err := ring.signingKey(t.Context(), "two"); err != nil {
		t.Fatalf("a key that has come since: %v", err)
	}
	failing.Store(true)
	clock.Advance(unknownEvery)
	for range 2 { // also while it does not look again
		_, err = ring.signingKey(t.Context(), "three")
		wantFault(t, err, fault.CodeUnavailable, "")
	}
	if _, err := ring.signingKey(t.Context(), "one"); err != nil {
		t.Fatalf("a known key while the database is away: %v", err)
	}
}
