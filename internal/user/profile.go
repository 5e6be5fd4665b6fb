package user

import (
	"regexp"
	"time"
	_ "time/tzdata" // the accepted time zones must not depend on the machine

	"golang.org/x/text/language"

	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/input"
)

const (
	maxDisplayName = 100
	maxLocale      = 35 // RFC 5646, section 4.4.1
	maxTimeZone    = 64
)

// UpdateProfileInput says what to change; nil stays as it is.
type UpdateProfileInput struct {
	DisplayName, Locale, TimeZone *string
}

// check returns the change in the form in which it is kept and the names of the
// fields that it concerns. INVALID_INPUT names the first field that is refused.
func (i UpdateProfileInput) check() (tenantdb.UpdateProfileParams, []string, error) {
	var change tenantdb.UpdateProfileParams
	fields := []string{}
	if i.DisplayName != nil {
		name, err := input.Line("input.displayName", *i.DisplayName, 0, maxDisplayName)
		if err != nil {
			return change, nil, err
		}
		change.DisplayName, fields = &name, append(fields, "displayName")
	}
	if i.Locale != nil {
		locale, err := parseLocale(*i.Locale)
		if err != nil {
			return change, nil, err
		}
		change.Locale, fields = &locale, append(fields, "locale")
	}
	if i.TimeZone != nil {
		if err := checkTimeZone(*i.TimeZone); err != nil {
			return change, nil, err
		}
		change.TimeZone, fields = i.TimeZone, append(fields, "timeZone")
	}
	if len(fields) == 0 {
		return change, nil, fault.InvalidInput("input", "give at least one of displayName, locale and timeZone")
	}
	return change, fields, nil
}

func parseLocale(value string) (string, error) {
	refused := fault.InvalidInput("input.locale", `locale must be a BCP 47 language tag as "en" or "pt-BR", at most 35 characters`)
	if len(value) > maxLocale {
		return "", refused
	}
	tag, err := language.Parse(value)
	if err != nil || tag.IsRoot() || len(tag.String()) > maxLocale {
		return "", refused
	}
	return tag.String(), nil
}

// zoneName keeps out what the machine's zone folder holds beside zones, as
// posix/… and localtime; every name of the IANA database begins like this.
var zoneName = regexp.MustCompile(`^[A-Z][A-Za-z0-9_+/-]*$`)

func checkTimeZone(value string) error {
	refused := fault.InvalidInput("input.timeZone", `timeZone must be a name of the IANA time zone database as "Europe/Berlin"`)
	if len(value) > maxTimeZone || value == "Local" || !zoneName.MatchString(value) {
		return refused
	}
	if _, err := time.LoadLocation(value); err != nil {
		return refused
	}
	return nil
}
