package auth

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/fault"
)

// forge signs any header and claims with any method and key.
func forge(t *testing.T, method jwt.SigningMethod, key any, header map[string]any, claims jwt.Claims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	maps.Copy(token.Header, header)
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// rawToken signs exactly these bytes, which no library would write.
func rawToken(key ed25519.PrivateKey, header, claims string) string {
	body := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	return body + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(body)))
}

func TestHostileTokens(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	tenant, other := e.Tenant(t), e.Tenant(t)
	result, foreign := e.login(t, tenant), e.login(t, other)
	signing, claim, err := e.ring.active()
	if err != nil {
		t.Fatal(err)
	}
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	head := map[string]any{"typ": tokenType, "kid": signing.ID}
	now := e.clock.Now()

	// good returns the claims of a token that is accepted, to be spoiled.
	good := func() jwt.MapClaims {
		jti := uuid.NewString()
		tid, err := sealTenant(claim, tenantClaim{tenant.ID(), result.UserID.String(), jti})
		if err != nil {
			t.Fatal(err)
		}
		return jwt.MapClaims{
			"iss": e.token.Issuer, "aud": e.token.Audience, "sub": result.UserID.String(), "sid": result.SessionID.String(),
			"amr": []string{"pwd"}, "auth_time": now.Unix(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
			"jti": jti, "epoch": 1, "tid": tid,
		}
	}
	signed := func(spoil func(c jwt.MapClaims)) string {
		c := good()
		spoil(c)
		return forge(t, jwt.SigningMethodEdDSA, signing.private, head, c)
	}
	headed := func(header map[string]any) string {
		return forge(t, jwt.SigningMethodEdDSA, signing.private, header, good())
	}
	claimOf := func(key ClaimKey, c tenantClaim) string {
		sealed, err := sealTenant(key, c)
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	set := func(name string, v any) func(jwt.MapClaims) { return func(c jwt.MapClaims) { c[name] = v } }
	text := func(c jwt.MapClaims, spoil func(string) string) string {
		raw, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return spoil(string(raw))
	}
	header := `{"alg":"EdDSA","typ":"at+jwt","kid":"` + signing.ID + `"}`

	if _, err := e.verifier.Authenticate(t.Context(), signed(func(jwt.MapClaims) {})); err != nil {
		t.Fatalf("the unspoiled token is refused: %v", err)
	}
	if _, err := e.verifier.Authenticate(t.Context(), rawToken(signing.private, header, text(good(), strings.Clone))); err != nil {
		t.Fatalf("the unspoiled raw token is refused: %v", err)
	}
	foreignParts := strings.Split(foreign.AccessToken, ".")
	var foreignClaims claims
	if _, _, err := jwt.NewParser().ParseUnverified(foreign.AccessToken, &foreignClaims); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(result.AccessToken, ".")

	for name, token := range map[string]string{
		"empty":                      "",
		"not a token":                "hello",
		"truncated":                  result.AccessToken[:len(result.AccessToken)-10],
		"signature cut off":          parts[0] + "." + parts[1] + ".",
		"giant":                      result.AccessToken + strings.Repeat("A", MaxToken),
		"many dots":                  strings.Repeat(".", MaxToken),
		"claims of another token":    parts[0] + "." + foreignParts[1] + "." + parts[2],
		"signature of another token": parts[0] + "." + parts[1] + "." + foreignParts[2],
		"alg none": forge(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType,
			map[string]any{"typ": tokenType, "kid": signing.ID}, good()),
		"HS256 with the public key": forge(t, jwt.SigningMethodHS256, []byte(signing.Public),
			map[string]any{"typ": tokenType, "kid": signing.ID}, good()),
		"HS256 called EdDSA": forge(t, jwt.SigningMethodHS256, []byte(signing.Public),
			map[string]any{"typ": tokenType, "kid": signing.ID, "alg": "EdDSA"}, good()),
		"ID token":              headed(map[string]any{"typ": "JWT", "kid": signing.ID}),
		"no type":               headed(map[string]any{"typ": "", "kid": signing.ID}),
		"no key id":             headed(map[string]any{"typ": tokenType}),
		"unknown key id":        headed(map[string]any{"typ": tokenType, "kid": "0123456789abcdef"}),
		"claim key's id":        headed(map[string]any{"typ": tokenType, "kid": claim.ID}),
		"critical extension":    headed(map[string]any{"typ": tokenType, "kid": signing.ID, "crit": []string{"exp"}}),
		"key in the header":     headed(map[string]any{"typ": tokenType, "kid": signing.ID, "jwk": map[string]any{"kty": "OKP"}}),
		"another's key, our id": forge(t, jwt.SigningMethodEdDSA, stranger, head, good()),
		"wrong issuer":          signed(set("iss", "https://evil.test")),
		"no issuer":             signed(func(c jwt.MapClaims) { delete(c, "iss") }),
		"wrong audience":        signed(set("aud", "https://other.test")),
		"two audiences":         signed(set("aud", []string{e.token.Audience, "https://other.test"})),
		"no audience":           signed(func(c jwt.MapClaims) { delete(c, "aud") }),
		"expired": signed(func(c jwt.MapClaims) {
			c["iat"], c["exp"] = now.Add(-2*time.Minute).Unix(), now.Add(-time.Minute).Unix()
		}),
		"no expiry":                signed(func(c jwt.MapClaims) { delete(c, "exp") }),
		"expiry as text":           signed(set("exp", "tomorrow")),
		"longer than tokens live":  signed(set("exp", now.Add(24*time.Hour).Unix())),
		"not yet valid":            signed(set("nbf", now.Add(time.Minute).Unix())),
		"issued in the future":     signed(func(c jwt.MapClaims) { c["iat"], c["exp"] = now.Add(time.Minute).Unix(), now.Add(2*time.Minute).Unix() }),
		"no time of issue":         signed(func(c jwt.MapClaims) { delete(c, "iat") }),
		"no time of sign-in":       signed(func(c jwt.MapClaims) { delete(c, "auth_time") }),
		"no tenant":                signed(func(c jwt.MapClaims) { delete(c, "tid") }),
		"tenant in the clear":      signed(set("tid", tenant.ID().String())),
		"subject is no id":         signed(set("sub", "admin")),
		"subject in other writing": signed(set("sub", strings.ToUpper(result.UserID.String()))),
		"another subject":          signed(set("sub", foreign.UserID.String())),
		"session is no id":         signed(set("sid", "1")),
		"tenant claim of another":  signed(set("tid", foreignClaims.Tenant)),
		"tenant claim of another token of the subject": signed(set("jti", uuid.NewString())),
		"tenant claim of nobody": signed(func(c jwt.MapClaims) {
			c["tid"] = claimOf(claim, tenantClaim{uuid.New(), c["sub"].(string), c["jti"].(string)})
		}),
		"tenant claim under an unknown key": signed(func(c jwt.MapClaims) {
			c["tid"] = claimOf(ClaimKey{ID: "ffffffffffffffff", secret: make([]byte, 32)}, tenantClaim{other.ID(), c["sub"].(string), c["jti"].(string)})
		}),
		// A signing key alone has leaked: the thief signs what he likes.
		"tenant claim under our key's id, another's key": signed(func(c jwt.MapClaims) {
			c["tid"] = claimOf(ClaimKey{ID: claim.ID, secret: make([]byte, 32)}, tenantClaim{other.ID(), c["sub"].(string), c["jti"].(string)})
		}),
		// A claim key alone has leaked: the thief names any tenant, and cannot sign.
		"good tenant claim, another's signature": forge(t, jwt.SigningMethodEdDSA, stranger, head, func() jwt.MapClaims {
			c := good()
			c["tid"] = claimOf(claim, tenantClaim{other.ID(), c["sub"].(string), c["jti"].(string)})
			return c
		}()),
		"claim twice": rawToken(signing.private, header, text(good(), func(s string) string {
			return `{"sub":"` + foreign.UserID.String() + `",` + s[1:]
		})),
		"claim twice in other case": rawToken(signing.private, header, text(good(), func(s string) string {
			return s[:len(s)-1] + `,"SID":"` + foreign.SessionID.String() + `"}`
		})),
		"header name twice": rawToken(signing.private, `{"alg":"none",`+header[1:], text(good(), strings.Clone)),
		"two values":        rawToken(signing.private, header, text(good(), func(s string) string { return s + s })),
		"claims are a list": rawToken(signing.private, header, `[]`),
	} {
		t.Run(name, func(t *testing.T) {
			caller, err := e.verifier.Authenticate(context.Background(), token)
			if caller != nil || err == nil {
				t.Fatalf("accepted: %+v", caller)
			}
			f, ok := fault.As(err)
			if !ok || f.Code != fault.CodeUnauthenticated || f.Message != errUnauthenticated.Message {
				t.Fatalf("got %v, want the uniform UNAUTHENTICATED", err)
			}
		})
	}
}
