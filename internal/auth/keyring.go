package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tradesage/tradesage/internal/fault"
)

const (
	// refreshEvery is how often a ring reads the keys again. Keys are published
	// as next for longer than this before they become active.
	refreshEvery = 30 * time.Second
	// unknownEvery is how often at most an unknown key id makes a ring read the
	// keys, however many tokens name one.
	unknownEvery = 5 * time.Second
	// refreshTimeout bounds one reading.
	refreshTimeout = 5 * time.Second
	// retirementMargin is kept on top of a token's lifetime: for issuers that
	// have not yet seen a rotation, and clocks that differ.
	retirementMargin = 5 * time.Minute
)

var errKeysUnavailable = fault.Unavailable("tokens cannot be checked at the moment; try again")

// KeyRing holds the keys in memory. It is safe for concurrent use, and reading
// it takes no lock.
type KeyRing struct {
	source KeySource
	keep   time.Duration // how long after its retirement a key is accepted
	clock  func() time.Time
	logger *slog.Logger

	current atomic.Pointer[ring]

	refreshing chan struct{} // holds one value while somebody reads the keys
	lastTry    time.Time     // both guarded by refreshing
	lastErr    error
}

// ring is one immutable state.
type ring struct {
	signing       map[string]SigningKey
	claim         map[string]ClaimKey
	activeSigning string
	activeClaim   string
	jwks          []byte
}

// KeyRingOptions are what NewKeyRing needs.
type KeyRingOptions struct {
	// Source is IssuerKeys or VerifierKeys.
	Source KeySource
	// TokenLifetime is how long an access token is valid: a retired key is
	// accepted for that long and five minutes more.
	TokenLifetime time.Duration
	// Clock is time.Now if nil.
	Clock func() time.Time
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
}

// NewKeyRing returns an empty ring: call Refresh before use, and Run.
func NewKeyRing(o KeyRingOptions) *KeyRing {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &KeyRing{source: o.Source, keep: o.TokenLifetime + retirementMargin, clock: o.Clock, logger: o.Logger,
		refreshing: make(chan struct{}, 1)}
}

// Refresh reads the keys. On an error the ring keeps what it has.
func (k *KeyRing) Refresh(ctx context.Context) error {
	select {
	case k.refreshing <- struct{}{}:
		defer func() { <-k.refreshing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return k.refresh(ctx)
}

func (k *KeyRing) refresh(ctx context.Context) (err error) {
	k.lastTry = k.clock()
	defer func() { k.lastErr = err }()
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	set, err := k.source(ctx)
	if err != nil {
		return err
	}
	next, err := k.build(set)
	if err != nil {
		return err
	}
	k.current.Store(next)
	return nil
}

// Run reads the keys again every 30 s, and each second while there are none, until
// ctx ends.
func (k *KeyRing) Run(ctx context.Context) error {
	for {
		wait := refreshEvery
		if !k.HasKeys() {
			wait = time.Second
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
			if err := k.Refresh(ctx); err != nil && ctx.Err() == nil {
				k.logger.ErrorContext(ctx, "refresh of the keys", "error", err)
			}
		}
	}
}

// HasKeys is whether any token can be good: there are keys that sign and keys that
// open claims.
func (k *KeyRing) HasKeys() bool {
	r := k.current.Load()
	return r != nil && len(r.signing) > 0 && len(r.claim) > 0
}

// JWKS returns the public keys as a JSON Web Key Set (RFC 7517), with those that
// are next and those whose last token has not expired.
func (k *KeyRing) JWKS() []byte {
	if r := k.current.Load(); r != nil {
		return r.jwks
	}
	return []byte(`{"keys":[]}`)
}

// ServeHTTP answers with JWKS, for /.well-known/jwks.json.
func (k *KeyRing) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=60")
	_, _ = w.Write(k.JWKS()) // the client may be gone
}

// signingKey returns the key of this id for verification.
func (k *KeyRing) signingKey(ctx context.Context, kid string) (SigningKey, error) {
	found, err := k.find(ctx, func(r *ring) bool { _, ok := r.signing[kid]; return ok })
	if err != nil {
		return SigningKey{}, err
	}
	return found.signing[kid], nil
}

func (k *KeyRing) claimKey(ctx context.Context, kid string) (ClaimKey, error) {
	found, err := k.find(ctx, func(r *ring) bool { _, ok := r.claim[kid]; return ok })
	if err != nil {
		return ClaimKey{}, err
	}
	return found.claim[kid], nil
}

// find returns a state of which has holds. If there is none it reads the keys
// once, but not within 5 s of the last reading: made-up key ids must not reach
// the database.
func (k *KeyRing) find(ctx context.Context, has func(*ring) bool) (*ring, error) {
	if r := k.current.Load(); r != nil && has(r) {
		return r, nil
	}
	select {
	case k.refreshing <- struct{}{}:
		defer func() { <-k.refreshing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r := k.current.Load()
	if r != nil && has(r) {
		return r, nil // read while this one waited
	}
	if since := k.clock().Sub(k.lastTry); since < 0 || since >= unknownEvery {
		// One caller that gives up must not fail the others' reading.
		_ = k.refresh(context.WithoutCancel(ctx)) // kept in lastErr
		r = k.current.Load()
	}
	switch {
	case r != nil && has(r):
		return r, nil
	case r == nil || k.lastErr != nil:
		// The key may be there; who cannot look must not say that it is not.
		return nil, errKeysUnavailable.Because(k.lastErr)
	}
	return nil, errUnknownKey
}

// active returns the keys that new tokens are made with.
func (k *KeyRing) active() (SigningKey, ClaimKey, error) {
	r := k.current.Load()
	if r == nil || r.activeSigning == "" || r.activeClaim == "" {
		return SigningKey{}, ClaimKey{}, errors.New("no active key: EnsureKeys and Refresh come first")
	}
	signing := r.signing[r.activeSigning]
	if signing.private == nil {
		return SigningKey{}, ClaimKey{}, errors.New("this process has no private keys")
	}
	return signing, r.claim[r.activeClaim], nil
}

func (k *KeyRing) build(set KeySet) (*ring, error) {
	r := &ring{signing: map[string]SigningKey{}, claim: map[string]ClaimKey{}}
	oldest := k.clock().Add(-k.keep)
	public := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, key := range set.Signing {
		if key.State == KeyRetired && key.Retired.Before(oldest) {
			continue
		}
		r.signing[key.ID] = key
		if key.State == KeyActive {
			r.activeSigning = key.ID
		}
		public.Keys = append(public.Keys, jose.JSONWebKey{Key: key.Public, KeyID: key.ID, Use: "sig", Algorithm: string(jose.EdDSA)})
	}
	for _, key := range set.Claim {
		if key.State == KeyRetired && key.Retired.Before(oldest) {
			continue
		}
		r.claim[key.ID] = key
		if key.State == KeyActive {
			r.activeClaim = key.ID
		}
	}
	var err error
	if r.jwks, err = json.Marshal(public); err != nil {
		return nil, fmt.Errorf("JWKS: %w", err)
	}
	return r, nil
}
