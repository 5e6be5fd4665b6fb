package main

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
)

// What one tenant's share is: of fairShares together the stack does as many requests
// as it can. quietTenants ask for one each; another tenant asks for one, and then for
// floodShares. So the machine is well used before and overloaded then.
const (
	quietTenants, fairShares, floodShares = 4, 10, 20
	// quietConnections is on how many connections each tenant sends what it sends,
	// floodConnections how many the flood has.
	quietConnections, floodConnections = 8, 64
	// catchUp is how much of what the flood could not send in time it sends later.
	catchUp = 50 * time.Millisecond
)

// measureFairness asks how long others wait when one tenant asks twenty times its
// share. Requests are sent when they are due, whether earlier ones are answered or
// not yet sent, and an answer's time counts from when its request was due.
func measureFairness(ctx context.Context, o options, s *stack) ([]figure, error) {
	if err := s.startServer(ctx, "TRADESAGE_DATABASE_CONNS_PER_SHARD=4"); err != nil {
		return nil, err
	}
	requests, err := s.meRequests(s.seeded.tenants[:quietTenants+1])
	if err != nil {
		return nil, err
	}
	lasting := pick(o, 10*time.Second, 4*time.Second)
	mixed := func(worker, i int) []byte { return requests[(worker+i)%len(requests)] }
	if _, err := drive(ctx, s.server.addr, meConnections, lasting/4, mixed); err != nil { // to be warm
		return nil, err
	}
	all, err := drive(ctx, s.server.addr, meConnections, lasting/4, mixed)
	if err != nil {
		return nil, err
	}
	share := all.rate() / fairShares
	measure := func(shares float64, connections int) (others, flood traffic, refused int64, err error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var refusals atomic.Int64
		done := make(chan error, 1)
		go func() {
			var err error
			flood, err = s.offer(ctx, connections, shares*share, lasting, func(int) []byte { return requests[quietTenants] }, &refusals)
			done <- err
		}()
		others, err = s.offer(ctx, quietTenants*quietConnections, quietTenants*share, lasting, func(worker int) []byte { return requests[worker%quietTenants] }, nil)
		cancel()
		if floodErr := <-done; err == nil {
			err = floodErr
		}
		return others, flood, refusals.Load(), err
	}
	calm, _, _, err := measure(1, quietConnections)
	if err != nil {
		return nil, err
	}
	crowded, flood, refused, err := measure(floodShares, floodConnections)
	if err != nil {
		return nil, err
	}
	note := fmt.Sprintf("p50 %.1f to %.1f ms, p90 %.1f to %.1f ms, p99 %.1f to %.1f ms; a share is %.0f/s on %d cores; others had %.0f and %.0f/s, the one %.0f/s of %.0f/s, %d refused",
		calm.quantile(0.5), crowded.quantile(0.5), calm.quantile(0.9), crowded.quantile(0.9), calm.quantile(0.99), crowded.quantile(0.99),
		share, runtime.NumCPU(), calm.rate(), crowded.rate(), flood.rate(), share*floodShares, refused)
	return []figure{
		{
			Name: "others' p99 beside a tenant at 20x its share", Unit: "x", Goal: lower, Budget: 1.5,
			Measured: crowded.quantile(0.99) / calm.quantile(0.99), Note: note,
		},
		{Name: "others' median beside it", Unit: "x", Goal: lower, Measured: crowded.quantile(0.5) / calm.quantile(0.5)},
	}, nil
}

// offer sends requests at a rate over some connections, each when it is due, and
// notes from then on how long the answer took. A connection that is behind sends at
// once. A flood has refused set: what it is behind by more than catchUp it never
// sends, and an answer 429 counts there and not as a request; else that is an error.
func (s *stack) offer(ctx context.Context, connections int, rate float64, lasting time.Duration, next func(worker int) []byte, refused *atomic.Int64) (traffic, error) {
	between := time.Duration(float64(connections) / rate * float64(time.Second))
	began := time.Now()
	until := began.Add(lasting)
	return together(s.server.addr, connections, func(worker int, c *client, note func(time.Duration)) error {
		due := began.Add(between * time.Duration(worker) / time.Duration(connections))
		for due.Before(until) && ctx.Err() == nil {
			if wait := time.Until(due); wait > 0 {
				time.Sleep(wait)
			} else if -wait > catchUp && refused != nil {
				due = time.Now()
			}
			_, err := c.ask(next(worker))
			switch {
			case err == nil:
				note(time.Since(due))
			case refused != nil && c.status == 429:
				refused.Add(1)
			default:
				return err
			}
			due = due.Add(between)
		}
		return nil
	})
}
