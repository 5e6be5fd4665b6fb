package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"time"
)

// fairShare is how many connections each tenant has, floodShare how many the one
// that wants more than its share.
const quietTenants, fairShare, floodShare = 4, 1, 20

// measureFairness asks how long others wait when one tenant asks twenty times as
// much as it did, with as many slots as keep these cores busy.
func measureFairness(ctx context.Context, o options, s *stack) ([]figure, error) {
	slots := 3 * runtime.NumCPU()
	if err := s.startServer(ctx, "TRADESAGE_DATABASE_CONNS_PER_SHARD=4", "TRADESAGE_CONCURRENCY="+strconv.Itoa(slots)); err != nil {
		return nil, err
	}
	requests, err := s.meRequests(s.seeded.tenants[:quietTenants+1])
	if err != nil {
		return nil, err
	}
	lasting := pick(o, 10*time.Second, 2*time.Second)
	measure := func(greedy int) (others, flood traffic, err error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		done := make(chan error, 1)
		go func() {
			var err error
			flood, err = drive(ctx, s.server.addr, greedy, lasting, func(int, int) []byte { return requests[quietTenants] })
			done <- err
		}()
		others, err = drive(ctx, s.server.addr, quietTenants*fairShare, lasting, func(worker, _ int) []byte { return requests[worker%quietTenants] })
		cancel()
		if floodErr := <-done; err == nil {
			err = floodErr
		}
		return others, flood, err
	}
	if _, _, err := measure(fairShare); err != nil { // to be warm
		return nil, err
	}
	calm, _, err := measure(fairShare)
	if err != nil {
		return nil, err
	}
	crowded, flood, err := measure(floodShare)
	if err != nil {
		return nil, err
	}
	return []figure{{
		Name: "others' p99 beside a tenant at 20x its share", Unit: "x", Goal: lower, Budget: 1.5,
		Measured: crowded.quantile(0.99) / calm.quantile(0.99),
		Note: fmt.Sprintf("p50 %.1f to %.1f ms, p99 %.1f to %.1f ms, %d slots; others %.0f to %.0f requests/s, the one %.0f/s",
			calm.quantile(0.5), crowded.quantile(0.5), calm.quantile(0.99), crowded.quantile(0.99), slots, calm.rate(), crowded.rate(), flood.rate()),
	}}, nil
}
