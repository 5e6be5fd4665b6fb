package session

import (
	"time"

	"github.com/google/uuid"
)

// Session is one sign-in of a user in a tenant.
type Session struct {
	// ID is a UUIDv7: ids sort by the time of the sign-in.
	ID       uuid.UUID
	UserID   uuid.UUID
	DeviceID uuid.UUID
	// UserAgent is what the client called itself, at most 512 characters.
	UserAgent string
	// IP is the address of the sign-in, empty where it was not known.
	IP         string
	CreatedAt  time.Time
	LastSeenAt time.Time
	ExpiresAt  time.Time
	// Current marks the session that asks.
	Current bool
}

// IsEntity marks Session as resolvable by its id across the graph.
func (*Session) IsEntity() {}

// Device is what a user signs in with, as far as its user agent tells.
type Device struct {
	ID     uuid.UUID
	UserID uuid.UUID
	// Name is for people, as "Firefox on Linux".
	Name string
	// Kind is desktop, mobile, tablet, bot or other.
	Kind        string
	FirstSeenAt time.Time
	LastSeenAt  time.Time
}

// IsEntity marks Device as resolvable by its id across the graph.
func (*Device) IsEntity() {}
