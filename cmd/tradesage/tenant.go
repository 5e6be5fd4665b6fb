package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/tenant"
)

// tenantCommand is for operators, who hold the installation's secrets.
type tenantCommand struct {
	Plan tenantPlanCommand `cmd:"" help:"Give a tenant another plan. Its limits follow within seconds (docs/limits.md)."`
}

type tenantPlanCommand struct {
	Slug     string         `arg:"" help:"The tenant's slug."`
	Plan     string         `arg:"" help:"The plan, as TRADESAGE_LIMITS_FILE names it; one that is not there has the limits of standard."`
	Database databaseConfig `embed:""`
}

// Run sets the plan and prints the former one.
func (p tenantPlanCommand) Run(ctx context.Context) error {
	opened, err := p.Database.open(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	defer opened.Close()
	former, err := tenant.SetPlan(ctx, opened.PlatformStore(db.ServiceTenant), p.Slug, p.Plan)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(os.Stdout, "%s: %s, before %s\n", p.Slug, p.Plan, former)
	return err
}
