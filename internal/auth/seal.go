package auth

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// MasterKeySize is the length of the master key in bytes.
const MasterKeySize = 32

// sealVersion begins every sealed value, so that the way of sealing can change.
const sealVersion = 2

// ErrSealed says that a key at rest was sealed with another master key, or altered.
var ErrSealed = errors.New("cannot be opened: it was sealed with another master key, or altered")

// Sealer encrypts keys for the database with the master key, which is configured
// and never stored there: AES-256-GCM under a key of each table's own, bound to
// the table and the key id, so that a sealed key is of no use in another row.
type Sealer struct {
	master []byte
	pseudo []byte
	// refresh derives refresh tokens from their predecessors, codes those of mails.
	refresh, codes []byte
}

// KeyOpener opens what a Sealer has sealed; a ClaimOpener opens claim keys alone.
type KeyOpener interface {
	open(table, kid string, sealed []byte) ([]byte, error)
}

// NewSealer takes the master key: 32 random bytes. Only who issues tokens needs it.
func NewSealer(master []byte) (*Sealer, error) {
	if len(master) != MasterKeySize {
		return nil, fmt.Errorf("master key: %d bytes are needed, not %d", MasterKeySize, len(master))
	}
	master = bytes.Clone(master)
	return &Sealer{
		master: master, pseudo: derive(master, "pseudonyms"),
		refresh: derive(master, "refresh tokens"), codes: derive(master, "codes in mails"),
	}, nil
}

// ClaimOpener opens claim keys and nothing else: what a process that only
// verifies tokens is given in the master key's place.
type ClaimOpener struct{ key []byte }

// ClaimSealingKey derives from the master key what NewClaimOpener takes.
func ClaimSealingKey(master []byte) ([]byte, error) {
	if len(master) != MasterKeySize {
		return nil, fmt.Errorf("master key: %d bytes are needed, not %d", MasterKeySize, len(master))
	}
	return derive(master, sealing(claimTable)), nil
}

// NewClaimOpener takes the claim sealing key: 32 bytes.
func NewClaimOpener(key []byte) (*ClaimOpener, error) {
	if len(key) != MasterKeySize {
		return nil, fmt.Errorf("claim sealing key: %d bytes are needed, not %d", MasterKeySize, len(key))
	}
	return &ClaimOpener{bytes.Clone(key)}, nil
}

func (c *ClaimOpener) open(table, kid string, sealed []byte) ([]byte, error) {
	if table != claimTable {
		return nil, fmt.Errorf("%s %s: only claim keys can be opened without the master key", table, kid)
	}
	return open(c.key, table, kid, sealed)
}

func (s *Sealer) seal(table, kid string, plain []byte) []byte {
	aead := newAEAD(derive(s.master, sealing(table)))
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return aead.Seal(append([]byte{sealVersion}, nonce...), nonce, plain, sealedFor(table, kid))
}

func (s *Sealer) open(table, kid string, sealed []byte) ([]byte, error) {
	return open(derive(s.master, sealing(table)), table, kid, sealed)
}

func open(key []byte, table, kid string, sealed []byte) ([]byte, error) {
	aead := newAEAD(key)
	head := 1 + aead.NonceSize()
	if len(sealed) < head || sealed[0] != sealVersion {
		return nil, fmt.Errorf("%s %s: %w", table, kid, ErrSealed)
	}
	plain, err := aead.Open(nil, sealed[1:head], sealed[head:], sealedFor(table, kid))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", table, kid, ErrSealed)
	}
	return plain, nil
}

// sealing names the key that seals a table, for derive.
func sealing(table string) string { return "sealing of " + table }

// derive makes the key of one purpose; from it neither the master key nor
// another purpose's key can be told.
func derive(master []byte, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, master, nil, "tradesage "+purpose, MasterKeySize)
	if err != nil {
		panic(err) // only for longer keys than SHA-256 can give
	}
	return key
}

// newAEAD takes a key that derive has made.
func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // only for another length
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // only for another block size
	}
	return aead
}

func sealedFor(table, kid string) []byte { return []byte("tradesage 1 " + table + " " + kid) }

// pseudonym stands for a value in records where the value itself must not be:
// equal values get equal pseudonyms, and nobody without the master key can tell
// which value it was by trying.
func (s *Sealer) pseudonym(value string) string {
	mac := hmac.New(sha256.New, s.pseudo)
	mac.Write([]byte(value))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// successor is the refresh token that follows token. It is derived, so that a
// retry gets the same one although the database holds nothing but hashes.
func (s *Sealer) successor(token string) string {
	mac := hmac.New(sha256.New, s.refresh)
	mac.Write([]byte(token))
	return refreshPrefix + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// code is what a mail carries to prove who reads it. It is derived from the
// challenge, so that every run of the step that mails it writes the same one.
func (s *Sealer) code(purpose string, challenge uuid.UUID) string {
	mac := hmac.New(sha256.New, s.codes)
	mac.Write([]byte(purpose))
	mac.Write(challenge[:])
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func randomBytes() []byte {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	return random
}
