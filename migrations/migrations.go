// Package migrations embeds the two sets of schema migrations: platform, run
// once a database, and tenant, run once in every tenant's schema.
//
// Files are plain SQL with unqualified names, so that the same text serves the
// migrator and the query generator. docs/adr/0003 says what a tenant migration
// may not contain.
package migrations

import "embed"

// Platform holds platform/NNNN_words.sql, run in the schema platform.
//
//go:embed platform/*.sql
var Platform embed.FS

// Tenant holds tenant/NNNN_words.sql, run in each tenant's schema and sealed after.
//
//go:embed tenant/*.sql
var Tenant embed.FS
