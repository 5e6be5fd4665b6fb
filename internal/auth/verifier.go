package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/session"
)

const (
	defaultTokenCache = 50_000
	// tenantFor is how long a tenant's state and plan serve without being read again; a
	// tenant's revocation ends it at once.
	tenantFor = 10 * time.Second
	// inactiveFor is the same for a tenant that cannot be used yet, or for now.
	inactiveFor = time.Second
	// touchEvery is how often one token's use is noted.
	touchEvery = 30 * time.Second
)

var (
	errUnauthenticated  = fault.Unauthenticated("the access token is not valid; sign in again")
	errTenantSuspended  = fault.New(fault.CodeTenantSuspended, "this tenant is suspended")
	errTenantNotReady   = fault.New(fault.CodeTenantNotReady, "this tenant is still being set up; try again shortly")
	errCannotVerify     = fault.Unavailable("the access token cannot be checked at the moment; try again")
	errTenantsForgotten = errors.New("unknown or deleted tenant")
)

// Verifier tells who sent a request from its access token.
type Verifier struct {
	ring        *KeyRing
	store       *db.Store
	revocations *session.Revocations
	live        *session.Live
	options     TokenOptions
	parser      *jwt.Parser

	tokens  *otter.Cache[[sha256.Size]byte, *verified]
	tenants *otter.Cache[uuid.UUID, db.Place]
	// directory fills tenants.
	directory otter.Loader[uuid.UUID, db.Place]
}

// verified is a token whose signature and claims were found good.
type verified struct {
	caller  identity.Caller
	touched atomic.Int64 // when its use was last noted, in milliseconds since 1970
}

// VerifierOptions are what NewVerifier needs.
type VerifierOptions struct {
	Ring *KeyRing
	// Store looks tenants up; of the service svc_router.
	Store       *db.Store
	Revocations *session.Revocations
	// Live is told of the use of sessions; nil where nobody is to be.
	Live  *session.Live
	Token TokenOptions
	// CacheSize bounds the tokens that are remembered; 50,000 if zero.
	CacheSize int
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
}

// NewVerifier returns a verifier. Make it before Revocations.Load: it listens.
func NewVerifier(o VerifierOptions) (*Verifier, error) {
	if err := o.Token.complete(); err != nil {
		return nil, err
	}
	if o.CacheSize <= 0 {
		o.CacheSize = defaultTokenCache
	}
	v := &Verifier{
		ring: o.Ring, store: o.Store, revocations: o.Revocations, live: o.Live, options: o.Token,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
			jwt.WithIssuer(o.Token.Issuer), jwt.WithAudience(o.Token.Audience),
			jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(o.Token.Leeway),
			jwt.WithTimeFunc(o.Token.Clock), jwt.WithStrictDecoding(),
		),
	}
	v.directory = otter.LoaderFunc[uuid.UUID, db.Place](v.resolve)
	var err error
	v.tokens, err = otter.New(&otter.Options[[sha256.Size]byte, *verified]{
		MaximumSize: o.CacheSize,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[[sha256.Size]byte, *verified]) time.Duration {
			return max(e.Value.caller.Expires.Add(o.Token.Leeway).Sub(o.Token.Clock()), time.Nanosecond)
		}),
	})
	if err != nil {
		return nil, fmt.Errorf("cache of tokens: %w", err)
	}
	v.tenants, err = otter.New(&otter.Options[uuid.UUID, db.Place]{
		MaximumSize: o.CacheSize,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[uuid.UUID, db.Place]) time.Duration {
			if e.Value.State != db.TenantActive {
				return inactiveFor
			}
			return tenantFor
		}),
		RefreshCalculator: otter.RefreshWriting[uuid.UUID, db.Place](tenantFor / 2),
	})
	if err != nil {
		return nil, fmt.Errorf("cache of tenants: %w", err)
	}
	o.Revocations.OnRevoked(func(r session.Revocation) {
		if r.Kind == session.KindTenant {
			v.tenants.Invalidate(r.Tenant)
		}
	})
	return v, nil
}

// Authenticate returns the caller of a verified access token whose session still
// counts and whose tenant is active. The Caller is shared: do not change it.
//
// A token that was seen before costs one hash and look-ups in memory; the live
// state is asked every time, so that a revocation ends a cached token too.
//
// It fails with UNAUTHENTICATED, always with the same message, for anything
// wrong with the token or its session; TENANT_SUSPENDED and TENANT_NOT_READY for
// the tenant's state; UNAVAILABLE when something needed does not answer.
func (v *Verifier) Authenticate(ctx context.Context, token string) (*identity.Caller, error) {
	if len(token) > MaxToken {
		return nil, errUnauthenticated
	}
	var text [MaxToken]byte // on the stack, where a conversion would allocate
	key := sha256.Sum256(text[:copy(text[:], token)])
	now := v.options.Clock()
	entry, hit := v.tokens.GetIfPresent(key)
	if !hit || now.After(entry.caller.Expires.Add(v.options.Leeway)) {
		var err error
		if entry, err = v.verify(ctx, token); err != nil {
			return nil, present(err)
		}
	}
	place, err := v.tenants.Get(ctx, entry.caller.Tenant.ID(), v.directory)
	if err != nil {
		return nil, present(err)
	}
	if err := refusal(place.State); err != nil {
		return nil, err
	}
	if place.Tenant != entry.caller.Tenant || place.Plan != entry.caller.Plan { // it changed since the token was cached
		entry, hit = entry.in(place), false
	}
	if err := v.revocations.Check(&entry.caller, entry.caller.Issued); err != nil {
		return nil, present(err)
	}
	if !hit {
		v.tokens.Set(key, entry)
	}
	v.touch(entry, now)
	return &entry.caller, nil
}

// Recheck says whether a caller that was authenticated before still counts: the
// session lives and the tenant is active. It does not look at the token's expiry,
// which is for who keeps a connection open. It fails like Authenticate.
func (v *Verifier) Recheck(ctx context.Context, caller *identity.Caller) error {
	place, err := v.tenants.Get(ctx, caller.Tenant.ID(), v.directory)
	if err != nil {
		return present(err)
	}
	if err := refusal(place.State); err != nil {
		return err
	}
	if err := v.revocations.Check(caller, caller.Issued); err != nil {
		return present(err)
	}
	return nil
}

// Plan is the plan of the caller's tenant, as young as Authenticate would tell it if
// anybody of the tenant has asked within that time. It never waits: else it is the
// plan of when the caller was authenticated.
func (v *Verifier) Plan(caller *identity.Caller) string {
	if place, ok := v.tenants.GetIfPresent(caller.Tenant.ID()); ok {
		return place.Plan
	}
	return caller.Plan
}

// refusal is why nobody may use a tenant in this state, or nil.
func refusal(state db.TenantState) error {
	switch state {
	case db.TenantActive:
		return nil
	case db.TenantSuspended:
		return errTenantSuspended
	case db.TenantProvisioning:
		return errTenantNotReady
	}
	return errUnauthenticated
}

func (e *verified) in(place db.Place) *verified {
	moved := &verified{caller: e.caller}
	moved.caller.Tenant, moved.caller.Plan = place.Tenant, place.Plan
	return moved
}

func (v *Verifier) touch(entry *verified, now time.Time) {
	if v.live == nil {
		return
	}
	last, at := entry.touched.Load(), now.UnixMilli()
	if at-last >= touchEvery.Milliseconds() && entry.touched.CompareAndSwap(last, at) {
		v.live.Touch(entry.caller.Session, now)
	}
}

// verify checks everything that the token alone tells, and finds its tenant.
func (v *Verifier) verify(ctx context.Context, token string) (*verified, error) {
	head, err := checkShape(token)
	if err != nil {
		return nil, err
	}
	key, err := v.ring.signingKey(ctx, head.KeyID)
	if err != nil {
		return nil, err
	}
	var c claims
	if _, err := v.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return key.Public, nil }); err != nil {
		return nil, err
	}
	if c.IssuedAt == nil || c.AuthTime == nil || len(c.Audience) != 1 {
		return nil, fmt.Errorf("%w: a claim is missing", errMalformed)
	}
	if c.ExpiresAt.Sub(c.IssuedAt.Time) > v.options.Lifetime {
		return nil, fmt.Errorf("%w: made for longer than tokens live", errMalformed)
	}
	subject, err := parseID(c.Subject)
	if err != nil {
		return nil, err
	}
	sessionID, err := parseID(c.Session)
	if err != nil {
		return nil, err
	}
	tenantID, err := v.ring.openTenant(ctx, c.Tenant, c.Subject, c.ID)
	if err != nil {
		return nil, err
	}
	place, err := v.tenants.Get(ctx, tenantID, v.directory)
	if err != nil {
		return nil, err
	}
	return &verified{
		caller: identity.Caller{
			Subject: subject, Session: sessionID, Tenant: place.Tenant, Plan: place.Plan, Epoch: c.Epoch,
			AuthTime: c.AuthTime.Time, Issued: c.IssuedAt.Time, Expires: c.ExpiresAt.Time,
		},
	}, nil
}

// resolve reads a tenant for all who wait for it, so it outlives the one who asked.
func (v *Verifier) resolve(ctx context.Context, id uuid.UUID) (db.Place, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
	defer cancel()
	place, err := v.store.Locate(ctx, id)
	if errors.Is(err, db.ErrNotFound) {
		return db.Place{}, errTenantsForgotten
	}
	if err != nil {
		return db.Place{}, errCannotVerify.Because(err)
	}
	return place, nil
}

// present shows faults that are not the token's as they are, and everything
// else as one and the same.
func present(err error) error {
	if f, ok := fault.As(err); ok && f.Code == fault.CodeUnavailable {
		return f
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return errCannotVerify.Because(err)
	}
	return errUnauthenticated.Because(err)
}

// parseID accepts the one spelling of a UUID that the issuer writes.
func parseID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil || id == uuid.Nil || id.String() != s {
		return uuid.Nil, fmt.Errorf("%w: malformed id", errMalformed)
	}
	return id, nil
}
