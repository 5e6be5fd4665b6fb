package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/tradesage/tradesage/db"
)

// migrateCommand brings a database up to date. It is the only command that uses
// the owner's credential, and with an administrator's URL the superuser's.
type migrateCommand struct {
	Database    databaseConfig `embed:""`
	AdminURL    string         `name:"database-admin-url" env:"TRADESAGE_DATABASE_ADMIN_URL" help:"A superuser's URL. With it the database, the roles and the hardening are made or renewed first."`
	OwnerSecret string         `name:"database-owner-secret" env:"TRADESAGE_DATABASE_OWNER_SECRET" help:"Derives the password of the schemas' owner: base64 of at least 16 bytes, other than TRADESAGE_DATABASE_SECRET. Only migrate is ever given it."`
	Shards      int            `env:"TRADESAGE_SHARDS" default:"16" help:"Tenant logins, 1 to 1000; each serves up to 300 tenants. It can only grow."`
	Workers     int            `env:"TRADESAGE_MIGRATE_WORKERS" default:"4" help:"Tenants migrated at the same time."`
}

// errTenantsFailed makes the exit code say that some tenants are left.
var errTenantsFailed = errors.New("some tenants were not migrated; put them right and run migrate again")

// Run migrates and prints what it did; it fails when a tenant failed.
func (m migrateCommand) Run(ctx context.Context) error {
	if m.Database.URL == "" {
		return errors.New("TRADESAGE_DATABASE_URL: must be set, as postgres://host:5432/tradesage")
	}
	secret, err := m.Database.secret()
	if err != nil {
		return err
	}
	ownerSecret, err := decodeKey("TRADESAGE_DATABASE_OWNER_SECRET", m.OwnerSecret, 16)
	if err != nil {
		return err
	}
	report, err := db.Migrate(ctx, db.MigrateOptions{
		AdminURL: m.AdminURL, URL: m.Database.URL, Secret: secret, OwnerSecret: ownerSecret, Shards: m.Shards, Workers: m.Workers,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	fmt.Printf("platform migrations applied: %d\ntenant migrations added: %d\ntenants brought up to date: %d\n",
		report.Platform, report.Blueprints, report.Tenants)
	for _, f := range report.Failures {
		fmt.Printf("tenant %s (%s) stays at version %d: %s\n", f.Tenant, f.Schema, f.Version, f.Message)
	}
	if len(report.Failures) > 0 {
		return errTenantsFailed
	}
	return nil
}
