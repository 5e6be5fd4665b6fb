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
	State      SessionState
	// EndedAt is when it was logged out or revoked; nil if it was not.
	EndedAt *time.Time
	// Current marks the session that asks.
	Current bool

	tenant uuid.UUID
}

// IsEntity marks Session as resolvable by its id across the graph.
func (*Session) IsEntity() {}

// Tenant returns the tenant that the session is in; it asks nobody.
func (s *Session) Tenant() *Tenant { return &Tenant{ID: s.tenant} }

// Tenant refers to a tenant by its id alone.
type Tenant struct{ ID uuid.UUID }

// IsEntity marks Tenant as one that another subgraph resolves.
func (*Tenant) IsEntity() {}

// User refers to a user by the id alone.
type User struct{ ID uuid.UUID }

// IsEntity marks User as one that another subgraph resolves.
func (*User) IsEntity() {}

// User returns the user whose session it is; it asks nobody.
func (s *Session) User() *User { return &User{ID: s.UserID} }

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

// User returns the user whose device it is; it asks nobody.
func (d *Device) User() *User { return &User{ID: d.UserID} }

// IsEntity marks Device as resolvable by its id across the graph.
func (*Device) IsEntity() {}
