package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// MasterKeySize is the length of the master key in bytes.
const MasterKeySize = 32

// sealVersion begins every sealed value, so that the way of sealing can change.
const sealVersion = 1

var errSeal = errors.New("cannot be opened: it was sealed with another master key, or altered")

// Sealer encrypts keys for the database with the service's master key, which is
// configured and never stored there: AES-256-GCM, bound to the table and the key
// id, so that a sealed key is of no use in another row.
type Sealer struct {
	aead   cipher.AEAD
	pseudo [sha256.Size]byte
}

// NewSealer takes the master key: 32 random bytes.
func NewSealer(master []byte) (*Sealer, error) {
	if len(master) != MasterKeySize {
		return nil, fmt.Errorf("master key: %d bytes are needed, not %d", MasterKeySize, len(master))
	}
	block, err := aes.NewCipher(master)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Sealer{aead: aead, pseudo: sha256.Sum256(append([]byte("tradesage pseudonyms "), master...))}, nil
}

func (s *Sealer) seal(table, kid string, plain []byte) []byte {
	nonce := make([]byte, s.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return s.aead.Seal(append([]byte{sealVersion}, nonce...), nonce, plain, sealedFor(table, kid))
}

func (s *Sealer) open(table, kid string, sealed []byte) ([]byte, error) {
	head := 1 + s.aead.NonceSize()
	if len(sealed) < head || sealed[0] != sealVersion {
		return nil, fmt.Errorf("%s %s: %w", table, kid, errSeal)
	}
	plain, err := s.aead.Open(nil, sealed[1:head], sealed[head:], sealedFor(table, kid))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", table, kid, errSeal)
	}
	return plain, nil
}

func sealedFor(table, kid string) []byte { return []byte("tradesage 1 " + table + " " + kid) }

// pseudonym stands for a value in records where the value itself must not be:
// equal values get equal pseudonyms, and nobody without the master key can tell
// which value it was by trying.
func (s *Sealer) pseudonym(value string) string {
	mac := hmac.New(sha256.New, s.pseudo[:])
	mac.Write([]byte(value))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
