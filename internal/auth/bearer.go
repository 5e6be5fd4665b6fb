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
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" || !isToken68(token) {
		return "", fault.Unauthenticated("the Authorization header must be: Bearer <access token>")
	}
	return token, nil
}

// isToken68 reports whether all characters are of RFC 9110, section 11.2. It
// looks at bytes, on each request.
func isToken68(token string) bool {
	for i := range len(token) {
		switch c := token[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			c == '-', c == '.', c == '_', c == '~', c == '+', c == '/', c == '=':
		default:
			return false
		}
	}
	return true
}
