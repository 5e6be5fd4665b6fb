package router

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"sync"

	"github.com/maypok86/otter/v2"

	"github.com/tradesage/tradesage/graph/router/internal/introspect"
	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
	"github.com/tradesage/tradesage/graph/router/internal/resume"
	"github.com/tradesage/tradesage/graph/router/internal/supergraph"
	"github.com/tradesage/tradesage/graph/router/internal/valid"
	"github.com/tradesage/tradesage/graph/upstream"
)

// generation is one supergraph and all that depends on it: its subgraphs, and the
// operations that were planned for it. Nothing in it changes but the caches. A
// request works with the generation that it found; what it has begun ends with it.
type generation struct {
	*Router
	graph   *supergraph.Graph
	valid   *valid.Rules
	schema  *introspect.Source
	cache   *otter.Cache[planKey, *entry]
	tools   sync.Pool // of *toolkit
	sources map[string]fetcher
	// hasRemote is whether any subgraph needs the client's token passed on.
	hasRemote bool
	// superseded ends when another generation has taken the place of this one.
	superseded context.Context
	supersede  context.CancelFunc
}

// newGeneration loads a config. It fails on one that does not parse, on a local
// subgraph that it does not name, and on a schema that uses the reserved alias
// prefix.
func (r *Router) newGeneration(ctx context.Context, config []byte, remote map[string]Remote) (_ *generation, err error) {
	defer func() {
		if p := recover(); p != nil { // the engine trusts what composition writes
			err = fmt.Errorf("supergraph config: it cannot be loaded: %v", p)
		}
	}()
	graph, err := supergraph.Load(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("supergraph config: %w", err)
	}
	g := &generation{Router: r, graph: graph}
	sdl, _ := graph.Published()
	schema, undefined, err := valid.Schema(sdl)
	if err != nil {
		return nil, fmt.Errorf("supergraph config: %w", err)
	}
	if len(undefined) > 0 {
		r.log.WarnContext(ctx, "the schema of clients uses directives that it does not define: they say nothing", "directives", undefined)
	}
	g.valid, g.schema = valid.New(schema), introspect.New(schema)
	g.tools.New = func() any { return newToolkit() }
	if g.cache, err = newPlanCache(r.options.CacheSize); err != nil {
		return nil, fmt.Errorf("plan cache: %w", err)
	}
	g.superseded, g.supersede = context.WithCancel(context.WithoutCancel(ctx))
	if err := g.openSources(remote); err != nil {
		g.supersede()
		return nil, err
	}
	return g, nil
}

// openSources makes a fetcher for each subgraph of the config.
func (r *generation) openSources(remote map[string]Remote) error {
	r.sources = make(map[string]fetcher, len(r.graph.Subgraphs))
	for name, url := range r.graph.Subgraphs {
		if local, ok := r.options.Local[name]; ok {
			r.sources[name] = localFetcher{subgraph: local}
			continue
		}
		way := remote[name]
		if way.URL == "" {
			way.URL = url
		}
		if way.Transport == nil {
			way.Transport = http.DefaultTransport
		}
		if way.Timeout <= 0 {
			way.Timeout = r.options.FetchTimeout
		}
		r.hasRemote = true
		r.sources[name] = r.reach(name, way)
	}
	var errs []error
	for name := range r.options.Local {
		if _, ok := r.graph.Subgraphs[name]; !ok {
			errs = append(errs, fmt.Errorf("local subgraph %q is not in the supergraph", name))
		}
	}
	for name := range remote {
		if _, ok := r.graph.Subgraphs[name]; !ok {
			errs = append(errs, fmt.Errorf("remote subgraph %q is not in the supergraph", name))
		}
	}
	return errors.Join(errs...)
}

// reach returns the fetcher of a remote subgraph: the one in force where nothing
// has changed for it, with all that it knows of the subgraph's health.
func (r *generation) reach(name string, way Remote) *remoteFetcher {
	if before := r.current.Load(); before != nil {
		if known, ok := before.sources[name].(*remoteFetcher); ok && known.way.same(way) {
			return known
		}
	}
	return &remoteFetcher{name: name, way: way, log: r.log, streams: &r.streams, resuming: r.resuming(name, way), slow: r.metrics.slow, opened: r.metrics.upstreamSockets.WithLabelValues(name), upstream: upstream.New(upstream.Options{
		Name: name, Transport: way.Transport, Streams: way.Streams, Timeout: way.Timeout, Policy: r.options.Upstream,
		Logger: r.log, Metrics: r.upstreams, IsResponse: rawjson.IsResponse,
	})}
}

// resuming is how subscriptions of a remote subgraph outlive it: without losing events
// where it is a service of ours.
func (r *generation) resuming(name string, way Remote) resume.Policy {
	p := resume.Policy{Subgraph: name, Within: r.streams.ResumeWithin, Log: r.log, Resumed: r.metrics.resumed.WithLabelValues(name)}
	if way.Renews {
		p.Arguments, p.Cursor = r.streams.Feeds, r.streams.Cursor
	}
	return p
}

// same is whether nothing about a way has changed.
func (w Remote) same(other Remote) bool {
	for _, one := range []http.RoundTripper{w.Transport, w.Streams, w.SocketTransport, other.Transport, other.Streams, other.SocketTransport} {
		if one != nil && !reflect.TypeOf(one).Comparable() {
			return false
		}
	}
	return w == other
}

// Circuits tells for each remote subgraph whether calls are let through. Those of
// this process are not in it.
func (r *Router) Circuits() map[string]upstream.Circuit {
	out := map[string]upstream.Circuit{}
	for name, source := range r.current.Load().sources {
		if remote, ok := source.(*remoteFetcher); ok {
			out[name], _ = remote.upstream.State()
		}
	}
	return out
}
