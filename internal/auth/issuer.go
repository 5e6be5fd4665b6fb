package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// DefaultTokenLifetime is how long an access token is valid.
const DefaultTokenLifetime = 5 * time.Minute

// TokenOptions are what issuer and verifier must agree on.
type TokenOptions struct {
	// Issuer and Audience are pinned in every token, as URLs.
	Issuer, Audience string
	// Lifetime of an access token, 30 s to 1 h; DefaultTokenLifetime if zero. A
	// verifier refuses tokens that were made for longer: revocations are
	// remembered for this long.
	Lifetime time.Duration
	// Leeway is the difference of clocks that is tolerated, at most 1 min; 5 s if
	// zero.
	Leeway time.Duration
	// Clock is time.Now if nil.
	Clock func() time.Time
}

func (o *TokenOptions) complete() error {
	if o.Issuer == "" || o.Audience == "" {
		return errors.New("tokens: issuer and audience are needed")
	}
	if o.Lifetime == 0 {
		o.Lifetime = DefaultTokenLifetime
	}
	if o.Lifetime < 30*time.Second || o.Lifetime > time.Hour {
		return fmt.Errorf("tokens: lifetime %s: must be between 30s and 1h", o.Lifetime)
	}
	if o.Leeway == 0 {
		o.Leeway = 5 * time.Second
	}
	if o.Leeway < 0 || o.Leeway > time.Minute {
		return fmt.Errorf("tokens: leeway %s: must be at most 1m", o.Leeway)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return nil
}

// Issuer signs access tokens.
type Issuer struct {
	ring    *KeyRing
	options TokenOptions
}

// NewIssuer needs a ring of IssuerKeys.
func NewIssuer(ring *KeyRing, o TokenOptions) (*Issuer, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	return &Issuer{ring, o}, nil
}

// Lifetime is how long a token that is issued now is valid.
func (i *Issuer) Lifetime() time.Duration { return i.options.Lifetime }

// Grant is what an access token is issued for.
type Grant struct {
	Subject, Session, Tenant uuid.UUID
	// Epoch is the subject's permission epoch in the tenant.
	Epoch int64
	// Methods are how the subject proved itself (RFC 8176): "pwd".
	Methods []string
	// AuthTime is when it did.
	AuthTime time.Time
	// Ends is when the session does; no token outlives it.
	Ends time.Time
}

// Issue signs an access token and says how long it is valid.
func (i *Issuer) Issue(g Grant) (token string, lifetime time.Duration, err error) {
	signing, claim, err := i.ring.active()
	if err != nil {
		return "", 0, fmt.Errorf("access token: %w", err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", 0, fmt.Errorf("access token: %w", err)
	}
	now := i.options.Clock()
	lifetime = min(i.options.Lifetime, g.Ends.Sub(now))
	c := claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: i.options.Issuer, Audience: jwt.ClaimStrings{i.options.Audience},
			Subject: g.Subject.String(), ID: id.String(),
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(lifetime)),
		},
		Session: g.Session.String(), Methods: g.Methods, AuthTime: jwt.NewNumericDate(g.AuthTime), Epoch: g.Epoch,
	}
	if c.Tenant, err = sealTenant(claim, tenantClaim{g.Tenant, c.Subject, c.ID}); err != nil {
		return "", 0, err
	}
	token, err = sign(signing, c)
	return token, lifetime, err
}

func sign(key SigningKey, c claims) (string, error) {
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	token.Header["typ"], token.Header["kid"] = tokenType, key.ID
	signed, err := token.SignedString(key.private)
	if err != nil {
		return "", fmt.Errorf("access token: %w", err)
	}
	return signed, nil
}
