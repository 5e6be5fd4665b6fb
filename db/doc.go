// Package db owns every connection to PostgreSQL. It hands out typed queries
// that are bound to one tenant, to the platform as one tenant sees it, or, for
// auth and tenant administration, to the whole platform; nobody outside it can
// get a connection or send SQL of their own.
//
// It also brings the schemas up to date (Migrate), makes tenants' blanks, and
// relays the outbox.
package db
