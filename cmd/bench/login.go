package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const (
	// othersConnections ask for me while others sign in: moderate traffic, since
	// what is asked is how long an answer takes and not how many there are.
	othersConnections = 4
	// othersPause is how long each of them rests between two requests.
	othersPause = 5 * time.Millisecond
	// stormConnections sign in without a rest. The hashing queue takes this many.
	stormConnections = 32
)

// measureLogin counts sign-ins a second with nothing else to do, and then what the
// same storm does to others: the p99 of me at a moderate rate, with and without it.
func measureLogin(ctx context.Context, o options, s *stack) ([]figure, error) {
	if err := s.startServer(ctx, "TRADESAGE_DATABASE_CONNS_PER_SHARD=4"); err != nil {
		return nil, err
	}
	requests, err := s.meRequests(s.seeded.tenants[1:2])
	if err != nil {
		return nil, err
	}
	variables, err := json.Marshal(map[string]string{"email": storm, "password": password, "tenant": s.seeded.tenants[0]})
	if err != nil {
		return nil, err
	}
	login := graphqlRequest(s.server.addr, "", loginMutation, string(variables))
	lasting := pick(o, 8*time.Second, time.Second)
	if _, err := s.others(ctx, requests[0], lasting/4); err != nil {
		return nil, err
	}
	quiet, err := s.others(ctx, requests[0], lasting)
	if err != nil {
		return nil, err
	}
	type outcome struct {
		traffic
		err error
	}
	stormed := make(chan outcome, 1)
	go func() {
		done, err := drive(ctx, s.server.addr, stormConnections, lasting, func(int, int) []byte { return login })
		stormed <- outcome{done, err}
	}()
	loud, err := s.others(ctx, requests[0], lasting)
	storm := <-stormed
	if err := errors.Join(err, storm.err); err != nil {
		return nil, err
	}
	return []figure{
		{
			Name: "sign-ins at saturation", Unit: "logins/s", Goal: higher, Measured: storm.rate(),
			Note: fmt.Sprintf("%d connections, besides %.0f/s of me: %s", stormConnections, loud.rate(), storm.traffic),
		},
		{Name: "p99 of me, quiet", Unit: "ms", Goal: lower, Measured: quiet.quantile(0.99), Note: fmt.Sprintf("at %.0f/s: %s", quiet.rate(), quiet)},
		{Name: "p99 of me, storm", Unit: "ms", Goal: lower, Measured: loud.quantile(0.99), Note: fmt.Sprintf("at %.0f/s: %s", loud.rate(), loud)},
		{
			Name: "p99 of me, storm over quiet", Unit: "x", Goal: lower, Budget: 3,
			Measured: loud.quantile(0.99) / quiet.quantile(0.99),
		},
	}, nil
}

// others sends me at a moderate rate.
func (s *stack) others(ctx context.Context, request []byte, lasting time.Duration) (traffic, error) {
	until := time.Now().Add(lasting)
	return together(s.server.addr, othersConnections, func(_ int, c *client, note func(time.Duration)) error {
		for time.Now().Before(until) && ctx.Err() == nil {
			began := time.Now()
			if _, err := c.ask(request); err != nil {
				return err
			}
			note(time.Since(began))
			time.Sleep(othersPause)
		}
		return nil
	})
}
