package auth

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/audit"
)

const (
	claimKeySize = 32
	// publishFor is how long a key has to be published as next before it may
	// become active: longer than any ring or JWKS cache takes to learn of it.
	publishFor = 2 * time.Minute
)

// ErrNoKeys says that no process has served yet.
var ErrNoKeys = errors.New("there are no keys yet: the first process that serves makes them")

// ErrTooSoon says that the next key has not been published for long enough.
var ErrTooSoon = errors.New("the next key was published less than two minutes ago")

// Keys makes and rotates the keys in the database.
type Keys struct {
	store  *db.PlatformStore
	sealer *Sealer
	keep   time.Duration
	clock  func() time.Time
	logger *slog.Logger
}

// KeysOptions are what NewKeys needs.
type KeysOptions struct {
	// Store is of the service svc_auth.
	Store  *db.PlatformStore
	Sealer *Sealer
	// TokenLifetime is how long an access token is valid.
	TokenLifetime time.Duration
	// Clock is time.Now if nil.
	Clock func() time.Time
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
}

// NewKeys returns the keeper of the keys.
func NewKeys(o KeysOptions) *Keys {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Keys{store: o.Store, sealer: o.Sealer, keep: o.TokenLifetime + retirementMargin, clock: o.Clock, logger: o.Logger}
}

// EnsureKeys makes the first active and next keys of both tables where they are
// missing. Any number of processes may call it at once.
func (k *Keys) EnsureKeys(ctx context.Context) error {
	err := k.store.Platform().Tx(ctx, func(q *platformdb.Queries) error {
		kept, err := k.lock(ctx, q)
		if err != nil {
			return err
		}
		if kept.activeSigning == "" {
			if err := k.insertSigning(ctx, q, KeyActive); err != nil {
				return err
			}
		}
		if kept.nextSigning == "" {
			if err := k.insertSigning(ctx, q, KeyNext); err != nil {
				return err
			}
		}
		if kept.activeClaim == "" {
			if err := k.insertClaim(ctx, q, KeyActive); err != nil {
				return err
			}
		}
		if kept.nextClaim == "" {
			return k.insertClaim(ctx, q, KeyNext)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("first keys: %w", err)
	}
	return nil
}

// Rotate retires the active keys, makes the next ones active, publishes new next
// ones and deletes those whose last token has expired. No valid token becomes
// invalid. It records keys.rotate, and fails with ErrTooSoon within two minutes of
// the last rotation, with ErrNoKeys before EnsureKeys, and with ErrSealed if the
// keys that are there were sealed with another master key: no process could open
// the new ones.
func (k *Keys) Rotate(ctx context.Context) error {
	if _, err := IssuerKeys(k.store, k.sealer)(ctx); err != nil {
		return fmt.Errorf("rotation of keys: %w", err)
	}
	err := k.store.Platform().Tx(ctx, func(q *platformdb.Queries) error {
		kept, err := k.lock(ctx, q)
		if err != nil {
			return err
		}
		if kept.nextSigning == "" || kept.nextClaim == "" {
			return ErrNoKeys
		}
		now := k.clock()
		if kept.published.Add(publishFor).After(now) {
			return ErrTooSoon
		}
		if err := q.RetireSigningKey(ctx, &now); err != nil {
			return err
		}
		if err := q.ActivateSigningKey(ctx, &now, kept.nextSigning); err != nil {
			return err
		}
		if err := k.insertSigning(ctx, q, KeyNext); err != nil {
			return err
		}
		if err := q.RetireClaimKey(ctx, &now); err != nil {
			return err
		}
		if err := q.ActivateClaimKey(ctx, &now, kept.nextClaim); err != nil {
			return err
		}
		if err := k.insertClaim(ctx, q, KeyNext); err != nil {
			return err
		}
		if _, err := q.DeleteSigningKeys(ctx, now.Add(-k.keep)); err != nil {
			return err
		}
		if _, err = q.DeleteClaimKeys(ctx, now.Add(-k.keep)); err != nil {
			return err
		}
		return audit.RecordPlatform(ctx, q, nil, audit.Event{
			Action: "keys.rotate", Target: kept.nextSigning,
			Details: map[string]string{"retired": kept.activeSigning, "claim": kept.nextClaim, "claim_retired": kept.activeClaim},
		})
	})
	if err != nil {
		return fmt.Errorf("rotation of keys: %w", err)
	}
	return nil
}

// keptKeys are the ids of the keys in use; empty where there is none.
type keptKeys struct {
	activeSigning, nextSigning string
	activeClaim, nextClaim     string
	published                  time.Time // when the younger next key was
}

// lock keeps other processes from changing keys until the transaction ends.
func (k *Keys) lock(ctx context.Context, q *platformdb.Queries) (keptKeys, error) {
	var kept keptKeys
	if err := q.LockKeys(ctx); err != nil {
		return kept, err
	}
	signing, err := q.ListVerificationKeys(ctx)
	if err != nil {
		return kept, err
	}
	for _, key := range signing {
		switch KeyState(key.State) {
		case KeyActive:
			kept.activeSigning = key.Kid
		case KeyNext:
			kept.nextSigning, kept.published = key.Kid, key.CreatedAt
		}
	}
	claim, err := q.ListClaimKeys(ctx)
	if err != nil {
		return kept, err
	}
	for _, key := range claim {
		switch KeyState(key.State) {
		case KeyActive:
			kept.activeClaim = key.Kid
		case KeyNext:
			kept.nextClaim = key.Kid
			if key.CreatedAt.After(kept.published) {
				kept.published = key.CreatedAt
			}
		}
	}
	return kept, nil
}

func (k *Keys) insertSigning(ctx context.Context, q *platformdb.Queries, state KeyState) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	kid, now := newKeyID(), k.clock()
	k.logger.InfoContext(ctx, "new signing key", "kid", kid, "state", state)
	return q.InsertSigningKey(ctx, platformdb.InsertSigningKeyParams{
		Kid: kid, State: string(state), PublicKey: public,
		PrivateSealed: k.sealer.seal(signingTable, kid, private.Seed()),
		CreatedAt:     now, ActivatedAt: activatedAt(state, now),
	})
}

func (k *Keys) insertClaim(ctx context.Context, q *platformdb.Queries, state KeyState) error {
	secret := make([]byte, claimKeySize)
	_, _ = rand.Read(secret) // never fails
	kid, now := newKeyID(), k.clock()
	k.logger.InfoContext(ctx, "new claim key", "kid", kid, "state", state)
	return q.InsertClaimKey(ctx, platformdb.InsertClaimKeyParams{
		Kid: kid, State: string(state), KeySealed: k.sealer.seal(claimTable, kid, secret),
		CreatedAt: now, ActivatedAt: activatedAt(state, now),
	})
}

func activatedAt(state KeyState, now time.Time) *time.Time {
	if state != KeyActive {
		return nil
	}
	return &now
}

func newKeyID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
