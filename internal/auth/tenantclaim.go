package auth

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
)

// tenantClaim is the plaintext of the claim "tid". It repeats the subject and
// the token's id, so that it is worth nothing in another token: whoever holds a
// signing key alone cannot name a tenant, and whoever holds a claim key alone
// cannot sign.
type tenantClaim struct {
	Tenant  uuid.UUID `json:"tid"`
	Subject string    `json:"sub"`
	TokenID string    `json:"jti"`
}

// sealTenant returns the claim as a compact JWE (RFC 7516): dir, A256GCM.
func sealTenant(key ClaimKey, claim tenantClaim) (string, error) {
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.DIRECT, Key: key.secret, KeyID: key.ID}, nil)
	if err != nil {
		return "", fmt.Errorf("tenant claim: %w", err)
	}
	plain, err := json.Marshal(claim)
	if err != nil {
		return "", fmt.Errorf("tenant claim: %w", err)
	}
	sealed, err := encrypter.Encrypt(plain)
	if err != nil {
		return "", fmt.Errorf("tenant claim: %w", err)
	}
	return sealed.CompactSerialize()
}

// openTenant decrypts the claim and compares it with the token around it.
func (k *KeyRing) openTenant(ctx context.Context, sealed, subject, tokenID string) (uuid.UUID, error) {
	object, err := jose.ParseEncryptedCompact(sealed, []jose.KeyAlgorithm{jose.DIRECT}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		return uuid.Nil, fmt.Errorf("tenant claim: %w", err)
	}
	key, err := k.claimKey(ctx, object.Header.KeyID)
	if err != nil {
		return uuid.Nil, fmt.Errorf("tenant claim: %w", err)
	}
	plain, err := object.Decrypt(key.secret)
	if err != nil {
		return uuid.Nil, fmt.Errorf("tenant claim: %w", err)
	}
	var claim tenantClaim
	if err := json.Unmarshal(plain, &claim); err != nil {
		return uuid.Nil, fmt.Errorf("tenant claim: %w", err)
	}
	if claim.Subject != subject || claim.TokenID != tokenID || claim.Tenant == uuid.Nil {
		return uuid.Nil, fmt.Errorf("tenant claim: made for another token")
	}
	return claim.Tenant, nil
}
