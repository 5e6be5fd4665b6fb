package main

import (
	"context"
	"fmt"
	"io/fs"
	"testing/fstest"
	"time"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/migrations"
)

// measureFleet migrates many tenants: a run that finds nothing to do, and one that
// adds a column to a table of each.
func measureFleet(ctx context.Context, o options, s *stack) ([]figure, error) {
	if err := s.stopServer(); err != nil {
		return nil, err
	}
	tenants := pick(o, 1000, 20)
	if err := s.stockTenants(ctx, 0, tenants); err != nil {
		return nil, err
	}
	idle, _, err := s.timeMigration(ctx, migrations.Tenant)
	if err != nil {
		return nil, err
	}
	longer, err := withColumn()
	if err != nil {
		return nil, err
	}
	added, report, err := s.timeMigration(ctx, longer)
	if err != nil {
		return nil, err
	}
	if report.Tenants < tenants {
		return nil, fmt.Errorf("%d schemas were migrated, want at least %d", report.Tenants, tenants)
	}
	note := fmt.Sprintf("%d schemas, blanks and the other benchmarks' tenants included", report.Tenants)
	return []figure{
		{Name: "nothing to do", Unit: "s", Goal: lower, Budget: 2, Measured: idle.Seconds(), Note: note},
		{
			Name: "ADD COLUMN, 1000 tenants", Unit: "s", Goal: lower, Budget: 5,
			Measured: added.Seconds() * 1000 / float64(report.Tenants),
			Note:     fmt.Sprintf("%.2f s for %d schemas", added.Seconds(), report.Tenants),
		},
	}, nil
}

func (s *stack) timeMigration(ctx context.Context, set fs.FS) (time.Duration, db.MigrateReport, error) {
	began := time.Now()
	report, err := s.migrate(ctx, db.MigrateOptions{TenantSet: set})
	return time.Since(began), report, err
}

// withColumn is the tenant set and one file more.
func withColumn() (fs.FS, error) {
	set := fstest.MapFS{}
	files, err := fs.Glob(migrations.Tenant, "tenant/*.sql")
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		text, err := fs.ReadFile(migrations.Tenant, name)
		if err != nil {
			return nil, err
		}
		set[name] = &fstest.MapFile{Data: text}
	}
	set[fmt.Sprintf("tenant/%04d_bench.sql", len(files)+1)] = &fstest.MapFile{Data: []byte("ALTER TABLE users ADD COLUMN bench text;\n")}
	return set, nil
}
