package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
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
	// settling is what of a turn does not count: connections are made, and the server
	// finds its pace.
	settling = 500 * time.Millisecond
	// catchUp is how much of what the flood could not send in time it sends later.
	catchUp = 50 * time.Millisecond
)

// runFlood is the argument that makes this program the one tenant's clients. They are
// a process of their own, so that the others' do not wait for them and take that for
// the server's doing.
const runFlood = "flood"

// flooded is what came of a flood.
type flooded struct {
	Rate    float64 // a second
	Refused int64
}

// flood offers a request at a rate until its input ends, and prints what came of it.
func flood(args []string) error {
	if len(args) != 4 {
		return errors.New(runFlood + " needs an address, connections, a rate and a request")
	}
	connections, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	rate, err := strconv.ParseFloat(args[2], 64)
	if err != nil {
		return err
	}
	request, err := base64.StdEncoding.DecodeString(args[3])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	fmt.Println(args[0])
	var refused atomic.Int64
	done, err := offer(ctx, args[0], connections, rate, time.Hour, func(int) []byte { return request }, &refused)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(flooded{Rate: done.rate(), Refused: refused.Load()})
}

// measureFairness asks how long others wait when one tenant asks twenty times its
// share. Requests are sent when they are due, whether earlier ones are answered or
// not yet sent, and an answer's time counts from when its request was due. Calm and
// flood take turns, so that what else the machine does hits both.
func measureFairness(ctx context.Context, o options, s *stack) ([]figure, error) {
	if err := s.startServer(ctx, "TRADESAGE_DATABASE_CONNS_PER_SHARD=4"); err != nil {
		return nil, err
	}
	requests, err := s.meRequests(s.seeded.tenants[:quietTenants+1])
	if err != nil {
		return nil, err
	}
	warming, turns, lasting := pick(o, 2500*time.Millisecond, time.Second), pick(o, 6, 1), pick(o, 4*time.Second, 2*time.Second)
	mixed := func(worker, i int) []byte { return requests[(worker+i)%len(requests)] }
	if _, err := drive(ctx, s.server.addr, meConnections, warming, mixed); err != nil { // to be warm
		return nil, err
	}
	all, err := drive(ctx, s.server.addr, meConnections, warming, mixed)
	if err != nil {
		return nil, err
	}
	share := all.rate() / fairShares
	measure := func(shares float64, connections int) (others traffic, flood flooded, err error) {
		one, err := startSelf(runFlood, s.server.addr, strconv.Itoa(connections), fmt.Sprint(shares*share), base64.StdEncoding.EncodeToString(requests[quietTenants]))
		if err != nil {
			return traffic{}, flooded{}, err
		}
		others, err = offer(ctx, s.server.addr, quietTenants*quietConnections, quietTenants*share, lasting, func(worker int) []byte { return requests[worker%quietTenants] }, nil)
		_ = one.input.Close() // asks it to end
		err = errors.Join(err, json.NewDecoder(one.output).Decode(&flood), one.close())
		return others, flood, err
	}
	var calm, crowded traffic
	var flood flooded
	for range turns {
		others, _, err := measure(1, quietConnections)
		if err != nil {
			return nil, err
		}
		calm = calm.with(others)
		others, f, err := measure(floodShares, floodConnections)
		if err != nil {
			return nil, err
		}
		crowded = crowded.with(others)
		flood.Rate, flood.Refused = flood.Rate+f.Rate/float64(turns), flood.Refused+f.Refused
	}
	note := fmt.Sprintf("p50 %.1f to %.1f ms, p90 %.1f to %.1f ms, p99 %.1f to %.1f ms; a share is %.0f/s on %d cores; others had %.0f and %.0f/s, the one %.0f/s of %.0f/s, %d refused",
		calm.quantile(0.5), crowded.quantile(0.5), calm.quantile(0.9), crowded.quantile(0.9), calm.quantile(0.99), crowded.quantile(0.99),
		share, runtime.NumCPU(), calm.rate(), crowded.rate(), flood.Rate, share*floodShares, flood.Refused)
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
func offer(ctx context.Context, addr string, connections int, rate float64, lasting time.Duration, next func(worker int) []byte, refused *atomic.Int64) (traffic, error) {
	between := time.Duration(float64(connections) / rate * float64(time.Second))
	began := time.Now()
	until := began.Add(lasting)
	return together(addr, connections, func(worker int, c *client, note func(time.Duration)) error {
		due := began.Add(between * time.Duration(worker) / time.Duration(connections))
		for due.Before(until) && ctx.Err() == nil {
			if wait := time.Until(due); wait > 0 {
				time.Sleep(wait)
			} else if -wait > catchUp && refused != nil {
				due = time.Now()
			}
			_, err := c.ask(next(worker))
			switch {
			case err == nil && due.Sub(began) < settling:
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
