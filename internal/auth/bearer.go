package auth

import (
	"net/http"
	"strings"

	"github.com/tradesage/tradesage/internal/fault"
)

// BearerToken returns the access token of a request (RFC 6750, section 2.1);
// empty for an anonymous one, which has no Authorization header. It fails with
// UNAUTHENTICATED for a header that is malformed, of another scheme, or there
// more than once. Tokens in the query or the body are not looked for.
func BearerToken(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	switch len(values) {
	case 0:
		return "", nil
	case 1:
	default:
		return "", fault.Unauthenticated("there must be one Authorization header")
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" || strings.ContainsFunc(token, notToken68) {
		return "", fault.Unauthenticated("the Authorization header must be: Bearer <access token>")
	}
	return token, nil
}

// notToken68 is for RFC 9110, section 11.2.
func notToken68(c rune) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.ContainsRune("-._~+/=", c):
		return false
	}
	return true
}
