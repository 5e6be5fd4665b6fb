package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/tradesage/tradesage/internal/tenant"
	"github.com/tradesage/tradesage/migrations"
)

const (
	scaleName = "scale"
	// scaleShards have room for scaleTenants: 300 each.
	scaleShards, scaleTenants = 40, 10_000
	// scaleStep is after how many new tenants the way so far is told.
	scaleStep = 1000
)

// measureScale creates tenants among few and among ten thousand, and migrates these.
func measureScale(ctx context.Context, o options, s *stack) ([]figure, error) {
	few, err := s.creating(ctx, "among few", pick(o, 200, 50))
	if err != nil {
		return nil, err
	}
	if err := s.stopServer(); err != nil {
		return nil, err
	}
	tenants := pick(o, scaleTenants, 20)
	began := time.Now()
	for from := 0; from < tenants; from += scaleStep {
		to := min(from+scaleStep, tenants)
		if err := s.stockTenants(ctx, from, to); err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "%d tenants after %s\n", to, time.Since(began).Round(time.Second))
	}
	idle, _, err := s.timeMigration(ctx, migrations.Tenant)
	if err != nil {
		return nil, err
	}
	many, err := s.creating(ctx, "among many", pick(o, 200, 50))
	if err != nil {
		return nil, err
	}
	return []figure{
		{Name: fmt.Sprintf("createTenant p99, 50 at once, among %d tenants", tenants), Unit: "ms", Goal: lower, Budget: 300, Measured: many.quantile(0.99), Note: many.String()},
		{
			Name: "createTenant p99, over that among few", Unit: "x", Goal: lower, Budget: 2,
			Measured: many.quantile(0.99) / few.quantile(0.99), Note: "among few: " + few.String(),
		},
		{Name: fmt.Sprintf("nothing to migrate, %d tenants", tenants), Unit: "s", Goal: lower, Budget: 2, Measured: idle.Seconds()},
	}, nil
}

// creating creates so many tenants, fifty at once, of as many blanks.
func (s *stack) creating(ctx context.Context, name string, total int) (traffic, error) {
	if err := s.startServer(ctx, "TRADESAGE_DATABASE_CONNS_PER_SHARD=4", "TRADESAGE_DATABASE_CONNS_PER_SERVICE=8"); err != nil {
		return traffic{}, err
	}
	c, err := dial(s.server.addr)
	if err != nil {
		return traffic{}, err
	}
	defer c.close()
	token, err := s.signIn(c, admin, tenant.PlatformSlug)
	if err != nil {
		return traffic{}, err
	}
	for _, run := range []struct {
		name  string
		total int
	}{{name + ", warm up", 50}, {name, total}} {
		if err := s.stockBlanks(ctx, run.total); err != nil {
			return traffic{}, err
		}
		done, err := s.createTenants(token, run.name, 50, run.total)
		if err != nil || run.name == name {
			return done, err
		}
	}
	return traffic{}, nil
}
