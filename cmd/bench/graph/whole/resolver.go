// Package whole is the GraphQL face of desk/whole.
package whole

// Resolver needs nothing: the data are in memory.
type Resolver struct{}
