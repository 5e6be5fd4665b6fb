package tenant

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/input"
)

const (
	maxName           = 200
	maxIdempotencyKey = 128
)

// CreateTenantInput is a tenant to create. Domain and IdempotencyKey may be nil.
type CreateTenantInput struct {
	Name           string
	Slug           string
	Domain         *string
	OwnerEmail     string
	IdempotencyKey *string
}

// check returns the input in the form in which it is kept. INVALID_INPUT names
// the first field that is refused.
func (i CreateTenantInput) check() (CreateTenantInput, error) {
	var err error
	if i.Name, err = input.Line("input.name", i.Name, 1, maxName); err != nil {
		return i, err
	}
	if err := checkSlug(i.Slug); err != nil {
		return i, err
	}
	if i.Domain != nil {
		domain, err := input.Hostname("input.domain", *i.Domain)
		if err != nil {
			return i, err
		}
		i.Domain = &domain
	}
	if i.OwnerEmail, err = input.Email("input.ownerEmail", i.OwnerEmail); err != nil {
		return i, err
	}
	if i.IdempotencyKey != nil && (len(*i.IdempotencyKey) > maxIdempotencyKey || !printableASCII.MatchString(*i.IdempotencyKey)) {
		return i, fault.InvalidInput("input.idempotencyKey",
			fmt.Sprintf("idempotencyKey must have 1 to %d printable ASCII characters", maxIdempotencyKey))
	}
	return i, nil
}

// hash tells whether a repeated call asks for the same tenant; the key itself is
// no part of it. Call it on what check returned.
func (i CreateTenantInput) hash() []byte {
	i.IdempotencyKey = nil
	encoded, _ := json.Marshal(i) // plain strings: it cannot fail
	sum := sha256.Sum256(encoded)
	return sum[:]
}

var (
	printableASCII = regexp.MustCompile(`^[\x20-\x7e]+$`)
	slugRule       = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)
	// punycode begins what stands for a name in another script.
	punycode = regexp.MustCompile(`^..--`)
)

// reserved are slugs that would be mistaken for a part of the platform.
var reserved = map[string]bool{
	PlatformSlug: true, "tradesage-dev": true, "platform": true, "system": true, "root": true,
	"www": true, "api": true, "app": true, "admin": true, "administrator": true, "auth": true, "login": true,
	"logout": true, "oauth": true, "sso": true, "account": true, "accounts": true, "register": true,
	"signup": true, "signin": true, "graphql": true, "graph": true, "playground": true, "schema": true,
	"console": true, "dashboard": true, "dev": true, "staging": true, "test": true, "demo": true,
	"mail": true, "smtp": true, "imap": true, "ftp": true, "ns1": true, "ns2": true, "cdn": true,
	"assets": true, "static": true, "files": true, "docs": true, "help": true, "support": true,
	"status": true, "health": true, "healthz": true, "readyz": true, "metrics": true, "billing": true,
	"security": true, "abuse": true, "postmaster": true, "hostmaster": true, "webmaster": true,
	"well-known": true, "null": true, "undefined": true, "localhost": true, "internal": true,
}

func checkSlug(slug string) error {
	if !slugRule.MatchString(slug) || punycode.MatchString(slug) {
		return fault.InvalidInput("input.slug", "slug must have 3 to 63 lower-case letters, digits and inner hyphens")
	}
	if reserved[slug] {
		return fault.InvalidInput("input.slug", "this slug is reserved; choose another")
	}
	return nil
}
