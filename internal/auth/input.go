package auth

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"unicode"

	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

const (
	maxEmail     = 254 // RFC 5321, section 4.5.3.1, with the angle brackets taken off
	maxLocalPart = 64
	maxUserAgent = 512
)

var slugPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// normaliseEmail trims and lowers an address. It accepts printable ASCII with
// one @ only: no account has another address, and no two spellings that look
// alike are two accounts.
func normaliseEmail(field, email string) (string, error) {
	malformed := fault.InvalidInput(field, fmt.Sprintf("must be an e-mail address of at most %d characters", maxEmail))
	if len(email) > 2*maxEmail {
		return "", malformed
	}
	email = strings.ToLower(strings.TrimSpace(email))
	local, domain, ok := strings.Cut(email, "@")
	if !ok || local == "" || len(local) > maxLocalPart || len(email) > maxEmail {
		return "", malformed
	}
	for _, c := range []byte(local) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>[]:;,\"`, c) >= 0 {
			return "", malformed
		}
	}
	for label := range strings.SplitSeq(domain, ".") {
		if !slugPattern.MatchString(label) {
			return "", malformed
		}
	}
	return email, nil
}

func checkSlug(field, slug string) (string, error) {
	slug = strings.TrimSpace(slug)
	if !slugPattern.MatchString(slug) {
		return "", fault.InvalidInput(field, "must be a tenant's slug: 1 to 63 of a-z, 0-9 and -")
	}
	return slug, nil
}

// client is what the record tells of the program that asks.
type client struct{ agent, ip string }

// clientOf is the client of a request, as far as it is known.
func clientOf(ctx context.Context) client {
	c := identity.ClientFrom(ctx)
	return client{cleanUserAgent(c.UserAgent), cleanIP(c.IP)}
}

// details are for an audit event.
func (c client) details() map[string]string {
	return map[string]string{"user_agent": c.agent, "ip": c.ip}
}

// cleanUserAgent makes what a client calls itself storable and printable: valid
// UTF-8, no control characters, at most 512 characters.
func cleanUserAgent(s string) string {
	if len(s) > 4*maxUserAgent {
		s = s[:4*maxUserAgent]
	}
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, ""))
	return truncate(strings.TrimSpace(s), maxUserAgent)
}

// cleanIP returns the address in its usual spelling, empty if it is none.
func cleanIP(s string) string {
	if len(s) > 64 {
		return ""
	}
	address, err := netip.ParseAddr(s)
	if err != nil {
		return ""
	}
	return address.Unmap().WithZone("").String()
}

func truncate(s string, limit int) string {
	runes := []rune(s)
	if len(runes) <= limit {
		return s
	}
	return string(runes[:limit])
}
