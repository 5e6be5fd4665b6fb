package tenant

import (
	"crypto/rand"
	"encoding/base32"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

const (
	// maxBase leaves room in a slug for what makes it unique.
	maxBase = 50
	// numbered is how many numbers are tried before chance.
	numbered = 4
)

// slugOf makes the slug that people expect of a name: "Söhne & Co." is
// "sohne-co". A name of nothing that a slug may hold is "tenant".
func slugOf(name string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(name) {
		switch r = unicode.ToLower(r); {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case unicode.Is(unicode.Mn, r), r == '\'', r == '’':
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= maxBase {
			break
		}
	}
	slug := strings.Trim(b.String(), "-")
	if len(slug) < 3 {
		slug = strings.Trim("tenant-"+slug, "-")
	}
	if punycode.MatchString(slug) {
		slug = "t-" + slug
	}
	return slug
}

// slugFor is the slug to try for a name, one after the other until one is free:
// the name's own, then numbers, then chance.
func slugFor(name string, try int) string {
	base := slugOf(name)
	switch {
	case try == 0 && !reserved[base]:
		return base
	case try <= numbered:
		return base + "-" + strconv.Itoa(try+1)
	}
	var random [5]byte
	_, _ = rand.Read(random[:]) // never fails
	return base + "-" + strings.ToLower(base32.StdEncoding.EncodeToString(random[:]))
}
