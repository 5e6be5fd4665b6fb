package auth

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/tradesage/tradesage/db"
)

// KeyState is where a key is in its life.
type KeyState string

const (
	// KeyNext is published and accepted, and not used yet.
	KeyNext KeyState = "next"
	// KeyActive is what new tokens are made with; one of each table.
	KeyActive KeyState = "active"
	// KeyRetired is accepted until the last token made with it has expired.
	KeyRetired KeyState = "retired"
)

const (
	signingTable = "signing_keys"
	claimTable   = "claim_keys"
)

// SigningKey signs access tokens.
type SigningKey struct {
	ID      string
	State   KeyState
	Public  ed25519.PublicKey
	Retired time.Time // zero unless retired

	private ed25519.PrivateKey // nil for who only verifies
}

// ClaimKey encrypts the tenant claim.
type ClaimKey struct {
	ID      string
	State   KeyState
	Retired time.Time // zero unless retired

	secret []byte
}

// KeySet is what a KeyRing holds at one moment.
type KeySet struct {
	Signing []SigningKey
	Claim   []ClaimKey
}

// KeySource reads all keys that are not forgotten yet.
type KeySource func(context.Context) (KeySet, error)

// IssuerKeys reads private, public and claim keys; store is of svc_auth, which
// alone may.
func IssuerKeys(store *db.PlatformStore, sealer *Sealer) KeySource {
	return func(ctx context.Context) (KeySet, error) {
		rows, err := store.Platform().ListSigningKeys(ctx)
		if err != nil {
			return KeySet{}, fmt.Errorf("signing keys: %w", err)
		}
		set := KeySet{}
		for _, row := range rows {
			seed, err := sealer.open(signingTable, row.Kid, row.PrivateSealed)
			if err != nil {
				return KeySet{}, err
			}
			if len(seed) != ed25519.SeedSize {
				return KeySet{}, fmt.Errorf("%s %s: not an Ed25519 key", signingTable, row.Kid)
			}
			private := ed25519.NewKeyFromSeed(seed)
			public := private.Public().(ed25519.PublicKey)
			if !public.Equal(ed25519.PublicKey(row.PublicKey)) {
				return KeySet{}, fmt.Errorf("%s %s: the public key is not the private key's", signingTable, row.Kid)
			}
			set.Signing = append(set.Signing, SigningKey{
				ID: row.Kid, State: KeyState(row.State), Public: public, Retired: value(row.RetiredAt), private: private,
			})
		}
		set.Claim, err = claimKeys(ctx, store, sealer)
		return set, err
	}
}

// VerifierKeys reads public and claim keys; store is of a service from which the
// database keeps the private ones, and a ClaimOpener suffices.
func VerifierKeys(store *db.PlatformStore, opener KeyOpener) KeySource {
	return func(ctx context.Context) (KeySet, error) {
		rows, err := store.Platform().ListVerificationKeys(ctx)
		if err != nil {
			return KeySet{}, fmt.Errorf("verification keys: %w", err)
		}
		set := KeySet{}
		for _, row := range rows {
			if len(row.PublicKey) != ed25519.PublicKeySize {
				return KeySet{}, fmt.Errorf("%s %s: not an Ed25519 key", signingTable, row.Kid)
			}
			set.Signing = append(set.Signing, SigningKey{
				ID: row.Kid, State: KeyState(row.State), Public: row.PublicKey, Retired: value(row.RetiredAt),
			})
		}
		set.Claim, err = claimKeys(ctx, store, opener)
		return set, err
	}
}

func claimKeys(ctx context.Context, store *db.PlatformStore, opener KeyOpener) ([]ClaimKey, error) {
	rows, err := store.Platform().ListClaimKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("claim keys: %w", err)
	}
	keys := make([]ClaimKey, 0, len(rows))
	for _, row := range rows {
		secret, err := opener.open(claimTable, row.Kid, row.KeySealed)
		if err != nil {
			return nil, err
		}
		if len(secret) != claimKeySize {
			return nil, errors.New(claimTable + " " + row.Kid + ": not an AES-256 key")
		}
		keys = append(keys, ClaimKey{ID: row.Kid, State: KeyState(row.State), Retired: value(row.RetiredAt), secret: secret})
	}
	return keys, nil
}

func value(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
