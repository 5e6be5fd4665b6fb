package main

import (
	"context"
	"math/rand/v2"
	"runtime"
	"time"
)

// meQuery is one query of one tenant in PostgreSQL, behind the verified token and
// the live session. Nothing caches its result.
const meQuery = `{ me { id email displayName locale timeZone } }`

// meConnections keep the server busy.
const meConnections = 32

// measureMe counts authenticated requests a second, on one hot tenant and over a
// hundred tenants at random, with everything on this machine.
func measureMe(ctx context.Context, o options, s *stack) ([]figure, error) {
	if err := s.startServer(ctx, "TRADESAGE_DATABASE_CONNS_PER_SHARD=4"); err != nil {
		return nil, err
	}
	requests, err := s.meRequests(s.seeded.tenants)
	if err != nil {
		return nil, err
	}
	lasting := pick(o, 10*time.Second, time.Second)
	var figures []figure
	for _, c := range []struct {
		name   string
		budget float64
		next   func(int, int) []byte
	}{
		{"hot tenant", 10_000, func(int, int) []byte { return requests[0] }},
		{"random tenants", 6_000, func(int, int) []byte { return requests[rand.IntN(len(requests))] }}, //nolint:gosec // a choice of load
	} {
		// Statements are prepared and tokens verified before it counts.
		if _, err := drive(ctx, s.server.addr, meConnections, lasting/4, c.next); err != nil {
			return nil, err
		}
		before, err := s.usage()
		if err != nil {
			return nil, err
		}
		done, err := drive(ctx, s.server.addr, meConnections, lasting, c.next)
		if err != nil {
			return nil, err
		}
		after, err := s.usage()
		if err != nil {
			return nil, err
		}
		figures = append(figures,
			figure{Name: c.name, Unit: "requests/s", Goal: higher, Budget: c.budget, Measured: done.rate(), Note: after.minus(before).note(done.count, runtime.NumCPU())},
			figure{Name: c.name + ", p99", Unit: "ms", Goal: lower, Budget: 50, Measured: done.quantile(0.99), Note: done.String()},
		)
	}
	return figures, nil
}

// meRequests signs in to each tenant and renders a request for it.
func (s *stack) meRequests(tenants []string) ([][]byte, error) {
	c, err := dial(s.server.addr)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var out [][]byte
	for _, slug := range tenants {
		token, err := s.signIn(c, trader, slug)
		if err != nil {
			return nil, err
		}
		out = append(out, graphqlRequest(s.server.addr, token, meQuery, ""))
	}
	return out, nil
}
