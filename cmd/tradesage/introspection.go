package main

import "github.com/tradesage/tradesage/internal/tenant"

// Who may introspect.
const (
	introspectionOff   = "off"
	introspectionScope = "scope"
	introspectionOpen  = "open"
)

// introspection is the policy by its own name.
func (c *config) introspection() string {
	switch c.Introspection {
	case "true":
		return introspectionOpen
	case "false":
		return introspectionOff
	case "":
		return introspectionScope
	}
	return c.Introspection
}

// introspectionScope is the permission that introspection takes, if it takes one.
func (c *config) introspectionScope() string {
	if c.introspection() == introspectionScope {
		return tenant.SchemaRead
	}
	return ""
}
