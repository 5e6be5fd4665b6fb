package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// tokenType is the "typ" of an access token (RFC 9068, section 2.1), which
	// tells it from an ID token.
	tokenType = "at+jwt"
	// MaxToken bounds an access token in bytes; one is about 700.
	MaxToken = 4 << 10
)

var (
	errMalformed  = errors.New("not a token")
	errUnknownKey = errors.New("unknown key")
)

// claims are what an access token says. The tenant is encrypted in Tenant.
type claims struct {
	jwt.RegisteredClaims
	Session  string           `json:"sid"`
	Methods  []string         `json:"amr"`
	AuthTime *jwt.NumericDate `json:"auth_time"`
	Epoch    int64            `json:"epoch"`
	Tenant   string           `json:"tid"`
}

// header is all that an access token's header may hold.
type header struct {
	Algorithm string `json:"alg"`
	Type      string `json:"typ"`
	KeyID     string `json:"kid"`
}

// checkShape refuses, before any cryptography, what cannot be a token of ours:
// too long, not three parts, a header with anything but our algorithm, type and
// a key id, or a name that occurs twice, which two readers may read differently.
func checkShape(token string) (header, error) {
	if len(token) > MaxToken {
		return header{}, fmt.Errorf("%w: longer than %d bytes", errMalformed, MaxToken)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return header{}, fmt.Errorf("%w: %d parts", errMalformed, len(parts))
	}
	head, err := decodeUnique(parts[0])
	if err != nil {
		return header{}, fmt.Errorf("%w: header: %w", errMalformed, err)
	}
	if _, err := decodeUnique(parts[1]); err != nil {
		return header{}, fmt.Errorf("%w: claims: %w", errMalformed, err)
	}
	var h header
	decoder := json.NewDecoder(bytes.NewReader(head))
	decoder.DisallowUnknownFields() // no "crit", no "jwk", no "jku"
	if err := decoder.Decode(&h); err != nil {
		return header{}, fmt.Errorf("%w: header: %w", errMalformed, err)
	}
	switch {
	case h.Algorithm != jwt.SigningMethodEdDSA.Alg():
		return header{}, fmt.Errorf("%w: algorithm %.16q", errMalformed, h.Algorithm)
	case !strings.EqualFold(h.Type, tokenType): // a media type: RFC 7515, section 4.1.9
		return header{}, fmt.Errorf("%w: type %.16q", errMalformed, h.Type)
	case h.KeyID == "" || len(h.KeyID) > 64:
		return header{}, fmt.Errorf("%w: no key id", errMalformed)
	}
	return h, nil
}

// decodeUnique decodes a part of a token: one JSON object in which no name
// occurs twice, be it in other case, for Go's decoder takes those as equal.
func decodeUnique(part string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	seen := map[string]bool{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		folded := strings.ToLower(fmt.Sprint(name))
		if seen[folded] {
			return nil, errors.New("a name occurs twice")
		}
		seen[folded] = true
		var skipped json.RawMessage
		if err := decoder.Decode(&skipped); err != nil {
			return nil, err
		}
	}
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return raw, nil
}
