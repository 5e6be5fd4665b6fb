package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/tenant"
)

const createMutation = `mutation ($name: String!, $slug: String!, $email: String!) {
  createTenant(input: {name: $name, slug: $slug, ownerEmail: $email}) { tenant { id state } } }`

// measureTenants creates tenants alone and many at once. Each run finds as many
// blanks as it creates tenants, and the server refills none meanwhile; an answer
// counts only if the tenant is ACTIVE, that is with roles, invitation and audit.
func measureTenants(ctx context.Context, o options, s *stack) ([]figure, error) {
	if err := s.startServer(ctx, "TRADESAGE_DATABASE_CONNS_PER_SHARD=4", "TRADESAGE_DATABASE_CONNS_PER_SERVICE=8"); err != nil {
		return nil, err
	}
	c, err := dial(s.server.addr)
	if err != nil {
		return nil, err
	}
	defer c.close()
	token, err := s.signIn(c, admin, tenant.PlatformSlug)
	if err != nil {
		return nil, err
	}
	var figures []figure
	for _, shape := range []struct {
		name          string
		atOnce, total int
		budget        float64
		whole         bool
	}{
		{"warm up", 4, 4, 0, false},
		{"alone", 1, pick(o, 40, 3), 0, false},
		{"16 at once", 16, pick(o, 80, 16), 0, false},
		{"50 at once", 50, pick(o, 200, 50), 300, false},
		{"200 at once", pick(o, 200, 20), pick(o, 200, 20), 10, true},
	} {
		if err := s.stockBlanks(ctx, shape.total); err != nil {
			return nil, err
		}
		done, err := s.createTenants(token, shape.name, shape.atOnce, shape.total)
		if err != nil {
			return nil, err
		}
		f := figure{Name: shape.name + ", p99", Unit: "ms", Goal: lower, Budget: shape.budget, Measured: done.quantile(0.99), Note: done.String()}
		if shape.whole {
			f = figure{Name: shape.name + ", all done", Unit: "s", Goal: lower, Budget: shape.budget, Measured: done.took.Seconds(), Note: done.String()}
		}
		if shape.name != "warm up" {
			figures = append(figures, f)
		}
	}
	return figures, nil
}

// createTenants keeps atOnce connections creating until there are total.
func (s *stack) createTenants(token, name string, atOnce, total int) (traffic, error) {
	run := time.Now().UnixNano()
	return together(s.server.addr, atOnce, func(worker int, c *client, note func(time.Duration)) error {
		for i := worker; i < total; i += atOnce {
			variables, err := json.Marshal(map[string]string{
				"name": "Created " + name, "slug": fmt.Sprintf("c-%d-%d", run, i), "email": fmt.Sprintf("owner%d@bench.test", i),
			})
			if err != nil {
				return err
			}
			request := graphqlRequest(s.server.addr, token, createMutation, string(variables))
			began := time.Now()
			body, err := c.ask(request)
			if err != nil {
				return err
			}
			note(time.Since(began))
			if !bytes.Contains(body, []byte(`"state":"ACTIVE"`)) {
				return fmt.Errorf("the tenant is not active: %s", body)
			}
		}
		return nil
	})
}

// stockBlanks makes blanks until there are so many.
func (s *stack) stockBlanks(ctx context.Context, blanks int) error {
	pools, err := db.Open(db.Config{URL: s.databaseURL(), Secret: s.databaseSecret()})
	if err != nil {
		return err
	}
	defer pools.Close()
	_, err = tenant.NewRefiller(pools.PlatformStore(db.ServiceTenant), blanks, slog.New(slog.DiscardHandler)).Refill(ctx)
	return err
}

// stockTenants makes the tenants of the fleet from a number up to before another.
func (s *stack) stockTenants(ctx context.Context, from, to int) error {
	if err := s.stockBlanks(ctx, to-from); err != nil {
		return err
	}
	pools, err := db.Open(db.Config{URL: s.databaseURL(), Secret: s.databaseSecret()})
	if err != nil {
		return err
	}
	defer pools.Close()
	tenants, err := openTenants(pools)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(4)
	for n := from; n < to; n++ {
		group.Go(func() error {
			_, err := tenants.EnsureTenant(ctx, fmt.Sprintf("fleet-%05d", n), fmt.Sprintf("Fleet %d", n))
			return err
		})
	}
	return group.Wait()
}
