package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"

	"github.com/tradesage/tradesage/graph/router/internal/rawjson"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// Streams bounds what clients may keep open. A zero means the default.
type Streams struct {
	// Origins are the hosts, beside the request's own, whose pages may open a
	// WebSocket, as "console.example" or "*.example"; a scheme may come first.
	Origins []string
	// MaxConnections bounds WebSockets and streams of this process; default 15,000.
	// More are answered with 503.
	MaxConnections int
	// MaxOperations bounds what runs at once on one WebSocket; default 50.
	MaxOperations int
	// InitWithin is how long a client may take to send connection_init; default 10 s.
	InitWithin time.Duration
	// PingEvery is how often it is asked whether the client is there; default 25 s.
	PingEvery time.Duration
	// WriteWithin is how long one message may take to be taken; default 10 s. A
	// slower client is cut off.
	WriteWithin time.Duration
	// Queue is how many events may wait in memory for one client that shares its
	// source with others; default 64.
	Queue int
	// SlowWithin is how long such a client may take for one event while its queue is
	// full; default 1 s. Then its subscription ends with UNAVAILABLE.
	SlowWithin time.Duration
	// Feeds names the subscription fields whose equal subscriptions of one session may
	// share one source, each with the argument that makes a subscription begin earlier
	// than now, for which it gets a source of its own. The first event of such a field
	// must say nothing but that the subscription has begun.
	Feeds map[string]string
	// NoSharing gives each subscription a source of its own.
	NoSharing bool
	// Cursor names the field of the events of Feeds whose value their argument takes,
	// to go on without a gap; "" if there is none.
	Cursor string
	// ResumeWithin is how long subscriptions outlive the subgraph of another process
	// that they come from; default 30 s, negative for not at all.
	ResumeWithin time.Duration
	// Grace is how long a connection outlives its access token, for the client to
	// send a new one; default 30 s.
	Grace time.Duration
}

func (s Streams) withDefaults() Streams {
	if s.MaxConnections <= 0 {
		s.MaxConnections = 15_000
	}
	if s.MaxOperations <= 0 {
		s.MaxOperations = 50
	}
	if s.Queue <= 0 {
		s.Queue = 64
	}
	if s.ResumeWithin == 0 {
		s.ResumeWithin = 30 * time.Second
	}
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&s.InitWithin, 10 * time.Second}, {&s.PingEvery, 25 * time.Second},
		{&s.WriteWithin, 10 * time.Second}, {&s.Grace, 30 * time.Second},
		{&s.SlowWithin, time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.fallback
		}
	}
	return s
}

// trigger is where the events of a subscription come from.
type trigger struct {
	subgraph string
	follower follower
	template resolve.InputTemplate
	rights   []int // what its field takes
	// sharing is nil where each subscription needs a source of its own.
	sharing *sharing
}

// follower runs a subscription of one subgraph. deliver gets each response, which it
// may keep, until the subscription ends, ctx ends or deliver fails.
type follower interface {
	follow(ctx context.Context, query string, variables []byte, deliver func([]byte) error) error
}

// admit returns the context in which one event is shown: that of the caller as
// they are now. Its error ends the stream, and the event is not shown.
type admit func(context.Context) (context.Context, error)

// stream is a subscription of one client.
type stream struct {
	router *Router
	// again prepares it anew when another supergraph comes into force.
	again rebind
	admit admit
	// send takes each result, ready for the client.
	send func([]byte) error
	// feed is set while the source is shared.
	feed atomic.Pointer[feed]
}

// begin runs a subscription and calls done once at its end, perhaps before it
// returns: with nil when the subscription has ended by itself, with ctx's error when
// ctx has, and otherwise with why it was ended.
func (s *stream) begin(ctx context.Context, op *operation, variables *astjson.Value, done func(error)) {
	first, err := s.admit(ctx)
	if err != nil {
		done(err)
		return
	}
	on, err := s.router.newCourse(first, op, variables)
	if err != nil {
		done(err)
		return
	}
	s.router.metrics.subscriptions.Inc()
	s.run(ctx, on, func(err error) {
		s.router.metrics.subscriptions.Dec()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		done(err)
	})
}

// run is begin for a subscription that is planned.
func (s *stream) run(ctx context.Context, on *course, done func(error)) {
	first, err := s.admit(ctx)
	if err == nil {
		_, err = s.router.admittedTo(first, on.op, on.variables)
	}
	if err != nil {
		done(err)
		return
	}
	key, shares := on.sharedBy(first)
	if !shares {
		// What came here has needed a large stack; what waits for events needs none.
		go s.alone(ctx, first, on, done)
		return
	}
	s.router.feeds.join(ctx, first, key, on, s, func(err error) {
		var moved *movedError
		if errors.As(err, &moved) && ctx.Err() == nil {
			go s.run(ctx, moved.to, done) // it may have a source of its own there
			return
		}
		done(err)
	})
}

// alone is run for a subscription with a source of its own.
func (s *stream) alone(ctx, first context.Context, on *course, done func(error)) {
	defer func() {
		if p := recover(); p != nil {
			done(fault.Internal(fmt.Errorf("panic in a subscription: %v\n%s", p, debug.Stack())))
		}
	}()
	err := s.router.follow(first, on, s.again, func(c *course, raw []byte) error {
		return s.show(ctx, c, &event{raw: raw})
	})
	var moved *movedError
	if ctx.Err() != nil || !errors.As(err, &moved) {
		done(err)
		return
	}
	s.run(ctx, moved.to, done)
}

// show brings one event to the client, as the caller whom it has now.
func (s *stream) show(ctx context.Context, c *course, e *event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.Internal(fmt.Errorf("panic while showing an event: %v\n%s", p, debug.Stack()))
		}
		if err != nil {
			s.router.metrics.dropped.Inc()
			return
		}
		s.router.metrics.sent.Inc()
	}()
	current, err := s.admit(ctx)
	if err != nil {
		return err
	}
	if c.shape != nil { // its source is its own
		raw, wrong := c.shape.Answer(e.raw)
		if len(wrong) > 0 {
			s.router.log.ErrorContext(ctx, "an event is not what its schema allows", "subgraph", c.op.trigger.subgraph, "values", len(wrong), "first", wrong[0])
		}
		e = &event{raw: raw}
	}
	result, err := e.result(current, s.router, c)
	if err != nil {
		return err
	}
	return s.send(result)
}

// triggerRequest renders what the trigger's subgraph is asked.
func (r *Router) triggerRequest(ctx context.Context, op *operation, variables *astjson.Value) (query string, input []byte, _ error) {
	rc := r.resolveContext(ctx, op, variables)
	var rendered bytes.Buffer
	if err := op.trigger.template.Render(rc, nil, &rendered); err != nil {
		return "", nil, fault.Internal(fmt.Errorf("subscription of %s: %w", op.trigger.subgraph, err))
	}
	request, ok := readFetchInput(rendered.Bytes())
	if !ok {
		return "", nil, fault.Internal(fmt.Errorf("subscription of %s: unreadable input", op.trigger.subgraph))
	}
	query, err := rawjson.DecodeString(request.query)
	if err != nil {
		return "", nil, fault.Internal(fmt.Errorf("subscription of %s: %w", op.trigger.subgraph, err))
	}
	return query, request.definedVariables(), nil
}

// resolveContext is one running of an operation for the caller of ctx.
func (r *Router) resolveContext(ctx context.Context, op *operation, variables *astjson.Value) *resolve.Context {
	rc := resolve.NewContext(ctx)
	rc.Variables = variables
	rc.RemapVariables = op.variables.Remap
	rc.Request.ID = op.hash
	// The engine's sharing of inbound requests panics under load, and neither it nor
	// the sharing of fetches knows whose request it is: equal text is not equal
	// rights.
	rc.ExecutionOptions.DisableInboundRequestDeduplication = true
	rc.ExecutionOptions.DisableSubgraphRequestDeduplication = true
	return rc
}

// resolveEvent completes one response of the trigger's subgraph by what the
// others know, and renders it for the client.
func (r *Router) resolveEvent(ctx context.Context, op *operation, variables *astjson.Value, event []byte) (_ []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.Internal(fmt.Errorf("panic while resolving an event: %v\n%s", p, debug.Stack()))
		}
	}()
	var held slot
	if err := held.await(ctx, r); err != nil {
		return nil, err
	}
	defer held.leave()
	refused, err := r.admittedTo(ctx, op, variables)
	if err != nil {
		return nil, err
	}
	part := op
	if refused != nil {
		if part, err = op.allowedPart(ctx, refused); err != nil {
			return nil, err
		}
	}
	parsed, err := astjson.ParseBytes(event)
	if err != nil {
		return nil, fault.Internal(fmt.Errorf("event of %s: %w", op.trigger.subgraph, err))
	}
	found := parsed.GetArray("errors")
	data := parsed.Get("data")
	if data == nil || data.Type() != astjson.TypeObject {
		if len(found) == 0 {
			return nil, fault.Internal(fmt.Errorf("event of %s holds neither data nor errors", op.trigger.subgraph))
		}
		result, _, err := r.withErrors(ctx, found, []byte("null"))
		return result, err
	}
	initial := data.MarshalTo(nil)
	if part.boxes {
		initial = boxed(initial)
	}
	ctx = part.entities.Keep(ctx, initial)
	var out bytes.Buffer
	if _, err := r.resolver.ResolveGraphQLResponse(r.resolveContext(ctx, part, variables), part.response, initial, &out); err != nil {
		return nil, fault.Internal(err)
	}
	resolvedText := out.Bytes()
	if part.boxes {
		resolvedText = unboxed(resolvedText)
	}
	if len(found) == 0 && part.whole == nil {
		result, _, err := r.clientResponse(ctx, resolvedText)
		return result, err
	}
	resolved, err := astjson.ParseBytes(resolvedText)
	if err != nil {
		return nil, fault.Internal(err)
	}
	if part.whole != nil {
		return r.completed(ctx, part, refused, resolved, found)
	}
	rest := []byte("null")
	if data := resolved.Get("data"); data != nil {
		rest = data.MarshalTo(nil)
	}
	result, _, err := r.withErrors(ctx, append(found, resolved.GetArray("errors")...), rest)
	return result, err
}

// admitted is admit for one caller: nil is an anonymous one.
func (r *Router) admitted(ctx context.Context, caller *identity.Caller) (context.Context, error) {
	if caller == nil {
		return ctx, nil
	}
	if time.Now().After(caller.Expires.Add(r.streams.Grace)) {
		return nil, errExpired
	}
	if r.options.Recheck != nil {
		if err := r.options.Recheck(ctx, caller); err != nil {
			return nil, err
		}
	}
	return identity.NewContext(ctx, caller), nil
}

var (
	errExpired  = fault.Unauthenticated("the access token has expired; go on with a new one")
	errDraining = fault.Unavailable("this server is about to end; connect again")
	// errOver says that a stream's client wants no more of it.
	errOver = errors.New("the operation is over")
	// errSlow ends the subscription of a client that holds up those who share its
	// source.
	errSlow = fault.Unavailable("events come faster than this client takes them; subscribe again after the last one's cursor")
)
