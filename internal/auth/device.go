package auth

import (
	"crypto/sha256"
	"strings"

	"github.com/google/uuid"
	"github.com/mileusna/useragent"
)

// device is what a user agent tells of the thing in somebody's hands.
type device struct {
	ID   uuid.UUID
	Name string
	Kind string
}

// deviceOf derives the user's device in a tenant from a cleaned user agent. Its
// id depends on the browser's and the system's family only, so that an update of
// either is no new device, and the platform can name a device before the
// tenant's row of it exists.
func deviceOf(tenant, user uuid.UUID, agent string) device {
	parsed := useragent.Parse(agent)
	family, system := truncate(strings.TrimSpace(parsed.Name), 40), truncate(strings.TrimSpace(parsed.OS), 40)
	d := device{Name: "Unknown device", Kind: "other"}
	switch {
	case family != "" && system != "":
		d.Name = family + " on " + system
	case family != "":
		d.Name = family
	case system != "":
		d.Name = system
	}
	switch {
	case parsed.Bot:
		d.Kind = "bot"
	case parsed.Tablet:
		d.Kind = "tablet"
	case parsed.Mobile:
		d.Kind = "mobile"
	case parsed.Desktop:
		d.Kind = "desktop"
	}
	hash := sha256.New()
	hash.Write([]byte("tradesage device"))
	hash.Write(tenant[:])
	hash.Write(user[:])
	hash.Write([]byte(strings.ToLower(family) + "\x00" + strings.ToLower(system)))
	copy(d.ID[:], hash.Sum(nil))
	d.ID[6] = d.ID[6]&0x0f | 0x80 // version 8: RFC 9562, section 5.8
	d.ID[8] = d.ID[8]&0x3f | 0x80
	return d
}
