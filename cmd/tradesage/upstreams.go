package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tradesage/tradesage/graph/upstream"
)

// upstreamConfig says how the router calls subgraphs of other processes.
type upstreamConfig struct {
	FetchTimeout   time.Duration            `name:"fetch-timeout" env:"TRADESAGE_FETCH_TIMEOUT" default:"10s" help:"How long the router waits for an answer of another process, with all attempts, 100ms to 5m."`
	FetchTimeouts  map[string]time.Duration `name:"fetch-timeouts" env:"TRADESAGE_FETCH_TIMEOUTS" mapsep:"," placeholder:"NAME=DURATION,…" help:"The same for single subgraphs, as session=2s,tenant=30s."`
	FetchRetries   int                      `name:"fetch-retries" env:"TRADESAGE_FETCH_RETRIES" default:"2" help:"How often a query is sent to another process again after a connection failed or broke off, or it answered 502, 503, 504 or UNAVAILABLE, 0 to 5. Mutations are sent once. In the long run retries are at most a tenth of the calls."`
	BreakerPercent int                      `name:"breaker-percent" env:"TRADESAGE_BREAKER_PERCENT" default:"50" help:"Share of failed calls of a subgraph, of at least ten within ten seconds, from which on it is not called for a while and its fields are UNAVAILABLE at once, 1 to 100; 0 for never."`
	BreakerPause   time.Duration            `name:"breaker-pause" env:"TRADESAGE_BREAKER_PAUSE" default:"1s" help:"How long until one call is let through to see whether the subgraph is back, 100ms to 1m."`
}

func (c upstreamConfig) validate() error {
	if err := between("TRADESAGE_FETCH_TIMEOUT", c.FetchTimeout, 100*time.Millisecond, 5*time.Minute); err != nil {
		return err
	}
	for _, name := range sortedKeys(c.FetchTimeouts) {
		if err := between("TRADESAGE_FETCH_TIMEOUTS: "+name, c.FetchTimeouts[name], 100*time.Millisecond, 5*time.Minute); err != nil {
			return err
		}
	}
	if c.FetchRetries < 0 || c.FetchRetries > 5 {
		return fmt.Errorf("TRADESAGE_FETCH_RETRIES: %d is not between 0 and 5", c.FetchRetries)
	}
	if c.BreakerPercent < 0 || c.BreakerPercent > 100 {
		return fmt.Errorf("TRADESAGE_BREAKER_PERCENT: %d is not between 0 and 100", c.BreakerPercent)
	}
	return between("TRADESAGE_BREAKER_PAUSE", c.BreakerPause, 100*time.Millisecond, time.Minute)
}

// knows refuses timeouts of subgraphs that there are not.
func (c upstreamConfig) knows(subgraphs []string) error {
	for _, name := range sortedKeys(c.FetchTimeouts) {
		if !slices.Contains(subgraphs, name) {
			return fmt.Errorf("TRADESAGE_FETCH_TIMEOUTS: there is no subgraph %q, only %s", name, strings.Join(subgraphs, ", "))
		}
	}
	return nil
}

func between(setting string, d, least, most time.Duration) error {
	if d < least || d > most {
		return fmt.Errorf("%s: %s is not between %s and %s", setting, d, shortly(least), shortly(most))
	}
	return nil
}

// shortly is 5m where Go says 5m0s.
func shortly(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		return strings.TrimSuffix(text, "0s")
	}
	return text
}

// policy is the same for the router, where zero is the default.
func (c upstreamConfig) policy() upstream.Policy {
	p := upstream.Policy{Retries: c.FetchRetries, FailurePercent: c.BreakerPercent, Pause: c.BreakerPause}
	if p.Retries == 0 {
		p.Retries = -1
	}
	if p.FailurePercent == 0 {
		p.FailurePercent = -1
	}
	return p
}
