// Package input holds the rules for values that several domains accept from
// clients: names, e-mail addresses and host names. Each rule returns the value
// in the form in which it is kept, or INVALID_INPUT that names the field and
// says what is allowed.
package input

import (
	"fmt"
	"net/mail"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tradesage/tradesage/internal/fault"
)

const (
	maxEmail    = 254 // RFC 5321, section 4.5.3.1.3, less the angle brackets
	maxHostname = 253
)

// Joiners are invisible, yet part of how some scripts and emoji are written.
const (
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
)

// Line returns a name or title without the space around it: least to most
// characters on one line, all of them printable.
func Line(field, value string, least, most int) (string, error) {
	allowed := func() error {
		if least == 0 {
			return fault.InvalidInput(field, fmt.Sprintf("%s may have at most %d printable characters on one line", Name(field), most))
		}
		return fault.InvalidInput(field, fmt.Sprintf("%s must have %d to %d printable characters on one line", Name(field), least, most))
	}
	if len(value) > 8*most || !utf8.ValidString(value) {
		return "", allowed()
	}
	value = strings.TrimFunc(value, unicode.IsSpace)
	if n := utf8.RuneCountInString(value); n < least || n > most {
		return "", allowed()
	}
	visible := value == ""
	for _, r := range value {
		if r == zeroWidthJoiner || r == zeroWidthNonJoiner {
			continue
		}
		if !unicode.IsGraphic(r) {
			return "", allowed()
		}
		visible = visible || !unicode.IsSpace(r) && !unicode.IsMark(r)
	}
	if !visible {
		return "", allowed()
	}
	return value, nil
}

// maxSearch bounds the text of a search, in characters.
const maxSearch = 100

// Search returns the text that a list is searched for, nil for all of it: at most
// 100 characters that may be stored.
func Search(field string, text *string) (*string, error) {
	if text != nil && (!Storable(*text) || utf8.RuneCountInString(*text) > maxSearch) {
		return nil, fault.InvalidInput(field, fmt.Sprintf("%s may have at most %d characters", Name(field), maxSearch))
	}
	return text, nil
}

// Storable is whether PostgreSQL takes the text at all: UTF-8 without NUL.
func Storable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

// Email returns an address in lower case and without space around it. Only
// plain ASCII addresses of a host name are accepted.
func Email(field, value string) (string, error) {
	refused := fault.InvalidInput(field, Name(field)+" must be an e-mail address as name@example.com, at most 254 characters")
	if len(value) > 2*maxEmail {
		return "", refused
	}
	value = strings.ToLower(strings.TrimSpace(value))
	parsed, err := mail.ParseAddress(value)
	if err != nil || parsed.Address != value || len(value) > maxEmail {
		return "", refused
	}
	local, domain, _ := strings.Cut(value, "@")
	if len(local) > 64 || !localPart.MatchString(local) || !isHostname(domain) {
		return "", refused
	}
	return value, nil
}

var (
	localPart = regexp.MustCompile("^[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*$")
	hostname  = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// Hostname returns a host name of at least two labels in lower case, without a
// final dot. Names in other scripts are given in their ASCII form (xn--…).
func Hostname(field, value string) (string, error) {
	refused := fault.InvalidInput(field, Name(field)+" must be a host name as trade.example.com, at most 253 characters")
	if len(value) > 2*maxHostname {
		return "", refused
	}
	value = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(value)), ".")
	if !isHostname(value) {
		return "", refused
	}
	return value, nil
}

func isHostname(value string) bool { return len(value) <= maxHostname && hostname.MatchString(value) }

// Name returns the last part of a field's path, for messages.
func Name(field string) string { return field[strings.LastIndexByte(field, '.')+1:] }
