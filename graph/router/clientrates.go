package router

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/graph/persisted"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/ratelimit"
)

// ClientRates limit programs by what they call themselves, within a tenant, or for
// who is not signed in within an address. A name is nobody's proof: these rates come
// on top of all others, and what has no name of its own here shares one count.
type ClientRates struct {
	// Named are the rates of programs by their names.
	Named map[string]*ratelimit.Policy
	// Other is the rate of all others together, and of each that the manifest of
	// persisted operations names.
	Other *ratelimit.Policy
}

// knownClients are the programs with counts and series of their own. They are the
// operator's words, so that clients cannot make more.
type knownClients struct {
	named  map[string]prometheus.Counter
	other  prometheus.Counter
	silent prometheus.Counter // those that say no name
}

func newClientRequests() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tradesage_router_client_requests_total",
		Help: "Requests and operations on sockets by the program that they come from, as it calls itself: those of TRADESAGE_RATE_CLIENTS and of the manifest of persisted operations, other, or \"\" for none.",
	}, []string{"client"})
}

// knowClients makes the series of the programs that are named somewhere.
func (r *Router) knowClients(m *persisted.Manifest) {
	of := &knownClients{
		named:  map[string]prometheus.Counter{},
		silent: r.metrics.byClient.WithLabelValues(""), other: r.metrics.byClient.WithLabelValues(other),
	}
	for name := range r.options.ClientRates.Named {
		of.named[name] = r.metrics.byClient.WithLabelValues(name)
	}
	for _, name := range m.Clients() {
		of.named[name] = r.metrics.byClient.WithLabelValues(name)
	}
	r.known.Store(of)
}

// countClient counts a request of the program of ctx.
func (r *Router) countClient(ctx context.Context) {
	of, name := r.known.Load(), identity.ClientFrom(ctx).Name
	switch counter, ok := of.named[name]; {
	case ok:
		counter.Inc()
	case name == "":
		of.silent.Inc()
	default:
		of.other.Inc()
	}
}

// client adds one request of the program of ctx.
func (c *charge) client(ctx context.Context, r *Router, caller *identity.Caller) {
	rates := &r.options.ClientRates
	if rates.Other == nil && len(rates.Named) == 0 {
		return
	}
	name := identity.ClientFrom(ctx).Name
	policy, own := rates.Named[name]
	if !own {
		if policy = rates.Other; policy == nil {
			return
		}
		if _, own = r.known.Load().named[name]; !own {
			name = ""
		}
	}
	var tenant, id ratelimit.ID
	if caller != nil {
		tenant = ratelimit.ID(caller.Tenant.ID())
	} else {
		id = addressID(ctx)
	}
	if policy == rates.Other && name != "" { // several share the policy, not the count
		id = ratelimit.HashID(string(id[:]) + name)
	}
	c.add(policy, tenant, id, 1)
}
