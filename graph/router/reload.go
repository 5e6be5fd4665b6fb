package router

import (
	"context"
	"errors"
	"time"
)

const (
	// warmOperations is how many prepared operations a new supergraph begins with,
	// warmWithin how long preparing them may hold it up.
	warmOperations = 1024
	warmWithin     = 10 * time.Second
)

// Reload puts another supergraph in the place of the one in force, as New takes it.
// Local subgraphs stay. It fails, and changes nothing, where New would fail and
// where the supergraph is Fixed.
//
// The operations that were asked most are prepared before the change. What runs
// ends on the plan with which it began. Subscriptions go on: where the new plan
// asks their subgraph for the same, events are completed by it from now on; where
// it asks otherwise, they begin anew; where there is no plan, they end with
// INVALID_INPUT. Persisted operations that do not fit are UnfitOperations.
func (r *Router) Reload(ctx context.Context, config []byte, remote map[string]Remote) (err error) {
	if r.options.Fixed {
		return errors.New("the supergraph of this router is fixed")
	}
	r.reloading.Lock()
	defer r.reloading.Unlock()
	began, before := time.Now(), r.current.Load()
	defer func() {
		if err != nil {
			r.Refused()
		}
	}()
	next, err := r.newGeneration(ctx, config, remote)
	if err != nil {
		return err
	}
	kept, gone := next.warm(ctx, before)
	r.current.Store(next)
	r.recheck(ctx, next)
	r.metrics.reloads.WithLabelValues("taken").Inc()
	r.metrics.loaded.SetToCurrentTime()
	next.showCircuits(before)
	before.supersede()
	r.log.InfoContext(ctx, "another supergraph is in force", "subgraphs", len(next.sources),
		"operations_prepared", kept, "operations_no_longer_valid", gone, "seconds", time.Since(began).Seconds())
	return nil
}

// Refused counts a supergraph that did not get as far as Reload.
func (r *Router) Refused() { r.metrics.reloads.WithLabelValues("refused").Inc() }

// warm prepares what was asked most of the one before. It tells how many are ready
// and how many do not fit the new schema.
func (r *generation) warm(ctx context.Context, before *generation) (kept, gone int) {
	ctx, cancel := context.WithTimeout(ctx, warmWithin)
	defer cancel()
	var keys []planKey
	for entry := range before.cache.Hottest() {
		if len(keys) == warmOperations {
			break
		}
		if entry.Key.refused == "" { // the rest are numbers of the old one's rules
			keys = append(keys, entry.Key)
		}
	}
	for _, key := range keys {
		if ctx.Err() != nil {
			break
		}
		if _, err := r.load(ctx, key); err != nil {
			gone++
			continue
		}
		kept++
	}
	return kept, gone
}

// showCircuits brings the metrics of remote subgraphs up to date.
func (r *generation) showCircuits(before *generation) {
	for name := range before.sources {
		if _, ok := r.sources[name].(*remoteFetcher); !ok {
			r.upstreams.Forget(name)
		}
	}
	for _, source := range r.sources {
		if remote, ok := source.(*remoteFetcher); ok {
			remote.upstream.Show()
		}
	}
}
