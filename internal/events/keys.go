package events

import "github.com/google/uuid"

// DefaultPrefix begins every key in Redis unless another is configured.
const DefaultPrefix = "tradesage:"

// keys names everything this package keeps in Redis. All of it shares one {hash
// tag}, since one script writes it.
type keys struct{ prefix string }

// stream holds a tenant's latest events in order.
func (k keys) stream(tenant uuid.UUID) string {
	return k.prefix + "{events}:tenant:" + tenant.String()
}

// seen holds the ids of a tenant's latest events, so that none is appended twice.
func (k keys) seen(tenant uuid.UUID) string { return k.prefix + "{events}:seen:" + tenant.String() }

// feed repeats the events of all tenants for the processes to follow.
func (k keys) feed() string { return k.prefix + "{events}:feed" }

// count numbers the entries of the feed, so that a lost one is noticed.
func (k keys) count() string { return k.prefix + "{events}:count" }
