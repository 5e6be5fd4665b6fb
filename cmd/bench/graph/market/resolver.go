// Package market is the GraphQL face of desk/market.
package market

// Resolver needs nothing: the data are in memory.
type Resolver struct{}
