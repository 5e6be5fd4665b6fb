// Package people is the GraphQL face of desk/people.
package people

// Resolver needs nothing: the data are in memory.
type Resolver struct{}
