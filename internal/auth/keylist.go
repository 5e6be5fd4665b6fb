package auth

import (
	"context"
	"fmt"
	"time"
)

// KeyInfo is what an operator may know of a key: nothing secret.
type KeyInfo struct {
	// Kind is signing or claim.
	Kind, ID  string
	State     KeyState
	Created   time.Time
	Activated *time.Time // nil until it is active
	Retired   *time.Time // nil until it is retired
}

// List returns all keys, the signing keys first, each kind in the order of age.
func (k *Keys) List(ctx context.Context) ([]KeyInfo, error) {
	signing, err := k.store.Platform().ListVerificationKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	claim, err := k.store.Platform().ListClaimKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("claim keys: %w", err)
	}
	all := make([]KeyInfo, 0, len(signing)+len(claim))
	for _, row := range signing {
		all = append(all, KeyInfo{"signing", row.Kid, KeyState(row.State), row.CreatedAt, row.ActivatedAt, row.RetiredAt})
	}
	for _, row := range claim {
		all = append(all, KeyInfo{"claim", row.Kid, KeyState(row.State), row.CreatedAt, row.ActivatedAt, row.RetiredAt})
	}
	return all, nil
}
