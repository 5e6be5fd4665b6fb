package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	followQuery = `subscription { activityEvents { id kind action target } }`
	renameQuery = `mutation { updateProfile(input: {displayName: "Live"}) { user { id } } }`
	// renameAction is what a subscriber reads of it.
	renameAction = `"user.update_profile"`
	// liveOpening is how many subscriptions begin at once.
	liveOpening = 64
	// liveWithin bounds the wait for one event.
	liveWithin = time.Minute
)

// measureLive opens many WebSockets of one tenant, each with a subscription of its
// own, and measures what they hold of the server's memory and how long it takes
// until the last of them has an event: from the moment at which the mutation that
// causes it is sent, with the whole way through PostgreSQL and Redis. Once they are
// all of one session, which share what is made of an event, and once each is of a
// user of its own.
func measureLive(ctx context.Context, o options, s *stack) ([]figure, error) {
	n := pick(o, 10_000, 200)
	if err := s.startServer(ctx, crowdSettings...); err != nil {
		return nil, err
	}
	c, err := dial(s.server.addr)
	if err != nil {
		return nil, err
	}
	follower, err := s.signIn(c, trader, s.seeded.tenants[0])
	c.close()
	if err != nil {
		return nil, err
	}
	figures, err := s.follow(ctx, "", s.seeded.tenants[0], []string{follower}, n)
	if err != nil {
		return nil, err
	}
	tokens, err := s.people(ctx, crowdTenant, n)
	if err != nil {
		return nil, err
	}
	if err := s.settle(ctx, crowdTenant, tokens[:1]); err != nil {
		return nil, err
	}
	if err := s.startServer(ctx, crowdSettings...); err != nil { // with nothing in its memory
		return nil, err
	}
	more, err := s.follow(ctx, "separate users: ", crowdTenant, tokens, n)
	return append(figures, more...), err
}

// follow measures n followers of a tenant, who have the tokens in turn. prefix begins
// the figures' names.
func (s *stack) follow(ctx context.Context, prefix, tenant string, tokens []string, n int) (_ []figure, err error) {
	o := s.options
	c, rename, err := s.actor(tenant)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if _, err := c.ask(rename); err != nil { // plans and statements are made before it counts
		return nil, err
	}
	before, err := s.server.resident()
	if err != nil {
		return nil, err
	}
	crowd := &crowd{addr: s.server.addr, tokens: tokens, arrived: make(chan time.Time, 1024)}
	defer crowd.close()
	began := time.Now()
	if err := crowd.open(ctx, n); err != nil {
		return nil, err
	}
	opened := time.Since(began)
	after, err := s.server.resident()
	if err != nil {
		return nil, err
	}
	var last, middle []float64
	cpu, err := s.usage()
	if err != nil {
		return nil, err
	}
	events := pick(o, 10, 3)
	for range events {
		sent := time.Now()
		if _, err := c.ask(rename); err != nil {
			return nil, err
		}
		took, err := crowd.await(ctx, n, sent)
		if err != nil {
			return nil, err
		}
		last, middle = append(last, took[n-1].Seconds()), append(middle, took[n/2].Seconds())
	}
	first := last[0]
	spent, err := s.usage()
	if err != nil {
		return nil, err
	}
	full, err := s.server.resident()
	if err != nil {
		return nil, err
	}
	if o.profiles != "" {
		if err := s.server.profile(ctx, o.profiles); err != nil {
			return nil, err
		}
	}
	slices.Sort(last)
	slices.Sort(middle)
	const mb = 1 << 20
	return []figure{
		{
			Name: prefix + "memory of the server", Unit: "MB", Goal: lower, Budget: pick(o, 400.0, 0), Measured: float64(full) / mb,
			Note: fmt.Sprintf("resident, %d subscribers, after %d events to all; %.0f MB before the first, %.0f MB before events", n, events, float64(before)/mb, float64(after)/mb),
		},
		{Name: prefix + "memory a subscriber", Unit: "kB", Goal: lower, Measured: float64(full-before) / 1024 / float64(n), Note: fmt.Sprintf("%.1f kB before events", float64(after-before)/1024/float64(n))},
		{
			Name: prefix + "event to all", Unit: "s", Goal: lower, Budget: pick(o, 2.0, 0), Measured: last[len(last)-1],
			Note: fmt.Sprintf("the slowest of %d; the first %.2f s, median %.2f s; the median subscriber has it after %.2f s; CPU an event and subscriber: server %.0f µs, PostgreSQL %.1f µs",
				events, first, last[len(last)/2], middle[len(middle)/2], micros(spent.server-cpu.server)/float64(n*events), micros(spent.postgres-cpu.postgres)/float64(n*events)),
		},
		{Name: prefix + "subscriptions begun", Unit: "/s", Goal: higher, Measured: float64(n) / opened.Seconds(), Note: fmt.Sprintf("%d at once, each on a WebSocket of its own", liveOpening)},
	}, nil
}

// actor is who causes the events of a tenant, and how. It is nobody of those who
// follow: whether a follower may see an event is looked up.
func (s *stack) actor(tenant string) (_ *client, rename []byte, err error) {
	c, err := dial(s.server.addr)
	if err != nil {
		return nil, nil, err
	}
	token, err := s.signIn(c, storm, tenant)
	if err != nil {
		c.close()
		return nil, nil, err
	}
	return c, graphqlRequest(s.server.addr, token, renameQuery, ""), nil
}

// settle waits until what was done in a tenant has been announced.
func (s *stack) settle(ctx context.Context, tenant string, tokens []string) error {
	c, rename, err := s.actor(tenant)
	if err != nil {
		return err
	}
	defer c.close()
	crowd := &crowd{addr: s.server.addr, tokens: tokens, arrived: make(chan time.Time, 1024)}
	defer crowd.close()
	if err := crowd.open(ctx, 1); err != nil {
		return err
	}
	sent := time.Now()
	if _, err := c.ask(rename); err != nil {
		return err
	}
	_, err = crowd.await(ctx, 1, sent)
	return err
}

// resident is the memory that the server holds, in bytes.
func (s *server) resident() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("/proc does not tell the server's memory")
}
