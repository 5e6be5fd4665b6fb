package router

import (
	"bytes"
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/astparser"

	"github.com/tradesage/tradesage/graph/crew"
	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/internal/identity"
)

// sharing is how the subscriptions of one trigger share their sources.
type sharing struct {
	// resume is the variable that makes the subscription begin earlier, "" if none.
	resume string
}

// newSharing returns nil for a trigger whose subscriptions have a source each.
func (r *generation) newSharing(t *trigger) *sharing {
	if r.streams.NoSharing {
		return nil
	}
	// A stream that keeps the token with which it began ends with it, and so would
	// those of others who have newer ones.
	if remote, ok := t.follower.(*remoteFetcher); ok && !remote.way.Renews {
		return nil
	}
	if local, ok := t.follower.(localFetcher); ok && !reflect.TypeOf(local.subgraph).Comparable() {
		return nil
	}
	query, ok := fixedQuery(&t.template)
	if !ok {
		return nil
	}
	doc, report := astparser.ParseGraphqlDocumentString(query)
	if report.HasErrors() || len(doc.OperationDefinitions) != 1 {
		return nil
	}
	selected := doc.SelectionSets[doc.OperationDefinitions[0].SelectionSet].SelectionRefs
	if len(selected) != 1 || doc.Selections[selected[0]].Kind != ast.SelectionKindField {
		return nil
	}
	field := doc.Selections[selected[0]].Ref
	argument, ok := r.streams.Feeds[doc.FieldNameString(field)]
	if !ok {
		return nil
	}
	found := &sharing{}
	for _, ref := range doc.FieldArguments(field) {
		if doc.ArgumentNameString(ref) != argument {
			continue
		}
		switch value := doc.ArgumentValue(ref); value.Kind {
		case ast.ValueKindVariable:
			found.resume = doc.VariableValueNameString(value.Ref)
		case ast.ValueKindNull:
		default:
			return nil
		}
	}
	return found
}

// allows reports whether a subscription with these variables begins now, as all
// that share a source do.
func (s *sharing) allows(variables []byte) bool {
	if s == nil {
		return false
	}
	if s.resume == "" || len(variables) == 0 {
		return true
	}
	parsed, err := astjson.ParseBytes(variables)
	if err != nil {
		return false
	}
	after := parsed.Get(s.resume)
	return after == nil || after.Type() == astjson.TypeNull
}

// sharedBy returns what a course has in common with those whose source it shares; it
// is false for one with a source of its own.
func (c *course) sharedBy(first context.Context) (feedKey, bool) {
	caller, err := identity.FromContext(first)
	if err != nil || !c.op.trigger.sharing.allows(c.input) {
		return feedKey{}, false
	}
	return feedKey{c.op.trigger.follower, c.query, string(c.input), standingOf(caller)}, true
}

// standing is what decides about what a caller sees: of one who has a newer token of
// the same session it is the same.
type standing = identity.Caller

func standingOf(c *identity.Caller) standing {
	out := *c
	out.Issued, out.Expires = time.Time{}, time.Time{}
	out.AuthTime = out.AuthTime.UTC()
	return out
}

// feedKey is what equal subscriptions have in common: what the subgraph is asked,
// and all that it may know of who asks. Two callers never share a source.
type feedKey struct {
	source           follower
	query, variables string
	standing         standing
}

// feeds are the sources that subscriptions of a router share.
type feeds struct {
	crew    crew.Crew // brings events to clients
	running sync.WaitGroup

	mu   sync.Mutex
	open map[feedKey]*feed
}

// feed is one source with its clients. What it brings is resolved once for equal
// operations, but each client is admitted by itself, for each event.
type feed struct {
	of     *feeds
	key    feedKey
	cancel context.CancelFunc
	// bearer is the newest token of the clients, which all are of one session.
	bearer *bearer

	// The rest is guarded by of.mu.
	expires time.Time
	members map[*member]struct{}
	// begun is whether the first event has come, which is for those who were there.
	begun bool
}

// join gives the client of s the events of a feed, and calls over once at the end.
// One that comes when the feed has begun gets the first event, which says from where
// on it is live, from a short subscription of its own.
func (f *feeds) join(ctx, first context.Context, key feedKey, on *course, s *stream, over func(error)) {
	m := &member{stream: s, ctx: ctx, over: over}
	m.course.Store(on)
	caller, header := (*identity.Caller)(nil), ""
	if b := bearerFrom(first); b != nil {
		caller, _ = identity.FromContext(first)
		header, _ = b.token()
	}
	f.mu.Lock()
	source, found := f.open[key]
	if !found {
		source = &feed{of: f, key: key, bearer: newBearer(header), members: map[*member]struct{}{}}
		if f.open == nil {
			f.open = map[feedKey]*feed{}
		}
		f.open[key] = source
		s.router.metrics.feeds.Inc()
		// It lives on when this client leaves, with what is known of it: all that
		// join it have the same rights.
		var own context.Context
		own, source.cancel = context.WithCancel(withBearer(context.WithoutCancel(first), source.bearer))
		f.running.Add(1)
		go source.run(own, s.router)
	}
	m.feed = source
	m.busy, m.starting = source.begun, source.begun
	source.members[m] = struct{}{}
	f.mu.Unlock()
	s.feed.Store(source)
	if caller != nil {
		source.offer(header, caller.Expires)
	}
	m.mu.Lock()
	m.forget = context.AfterFunc(ctx, func() { m.end(ctx.Err()) })
	m.watch(on.op.from)
	starting := m.starting
	m.mu.Unlock()
	if starting {
		m.start(first)
	}
}

// offer tells a newer token of one of the clients.
func (f *feed) offer(header string, expires time.Time) {
	f.of.mu.Lock()
	defer f.of.mu.Unlock()
	if f.bearer != nil && expires.After(f.expires) {
		f.expires = expires
		f.bearer.replace(header)
	}
}

// run follows the source until it ends or nobody is left. It need not last as long.
func (f *feed) run(ctx context.Context, r *Router) {
	deliver := func(at context.Context, raw []byte) error {
		f.deliver(at, raw)
		return ctx.Err()
	}
	if local, ok := f.key.source.(localFetcher); ok {
		if feeds, ok := local.subgraph.(LocalFeeds); ok {
			feeds.Follow(ctx, f.key.query, "", []byte(f.key.variables), deliver, func(err error) { f.over(r, err) })
			return
		}
	}
	f.over(r, f.key.source.follow(ctx, f.key.query, []byte(f.key.variables), func(raw []byte) error { return deliver(ctx, raw) }))
}

// over is called once at the source's end.
func (f *feed) over(r *Router, err error) {
	defer f.of.running.Done()
	defer r.metrics.feeds.Dec()
	defer f.cancel()
	f.of.mu.Lock()
	f.close()
	left := f.members
	f.members = nil
	f.of.mu.Unlock()
	for m := range left {
		m.sourceEnded(err)
	}
}

// close lets nobody join any more; of.mu is held.
func (f *feed) close() {
	if f.of.open[f.key] == f {
		delete(f.of.open, f.key)
	}
}

// deliver queues an event for all clients. It waits for those whose queue is full,
// but not for one that is stuck.
func (f *feed) deliver(ctx context.Context, raw []byte) {
	e := &event{raw: raw, results: map[resultKey]*result{}}
	var full []*member
	f.of.mu.Lock()
	f.begun = true
	for m := range f.members {
		if !m.push(e) {
			full = append(full, m)
		}
	}
	f.of.mu.Unlock()
	for _, m := range full {
		m.await(ctx, e)
	}
}

// leave takes a client out, and ends the source with the last one.
func (f *feed) leave(m *member) {
	f.of.mu.Lock()
	defer f.of.mu.Unlock()
	delete(f.members, m)
	if len(f.members) == 0 {
		f.close()
		f.cancel()
	}
}

// event is one response of a trigger's subgraph.
type event struct {
	raw []byte
	// results are the responses to clients that were made of it; nil where nobody
	// shares them.
	results map[resultKey]*result
	mu      sync.Mutex
}

// resultKey is what the response to a client depends on.
type resultKey struct {
	operation *operation
	variables string
	standing  standing
}

// result is a response that is made by the first who needs it.
type result struct {
	once     sync.Once
	response []byte
	err      error
}

// result resolves the event for the caller of ctx, or takes over what was resolved
// for the same operation and the same rights. Failures are not taken over: they may
// be the other client's alone.
func (e *event) result(ctx context.Context, r *Router, c *course) ([]byte, error) {
	caller, err := identity.FromContext(ctx)
	if e.results == nil || err != nil {
		return r.resolveEvent(ctx, c.op, c.variables, e.raw)
	}
	if refused, err := r.admittedTo(ctx, c.op, c.variables); err != nil {
		return nil, err
	} else if refused != nil {
		return r.resolveEvent(ctx, c.op, c.variables, e.raw)
	}
	key := resultKey{operation: c.op, standing: standingOf(caller)}
	if c.variables != nil {
		key.variables = string(c.variables.MarshalTo(nil))
	}
	e.mu.Lock()
	shared := e.results[key]
	if shared == nil {
		shared = &result{}
		e.results[key] = shared
	}
	e.mu.Unlock()
	mine := false
	shared.once.Do(func() {
		mine = true
		shared.response, shared.err = r.resolveEvent(ctx, c.op, c.variables, e.raw)
	})
	if !mine && (shared.err != nil || bytes.HasPrefix(shared.response, []byte(clienterr.ErrorsFirst))) {
		return r.resolveEvent(ctx, c.op, c.variables, e.raw)
	}
	return shared.response, shared.err
}
