package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"

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
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&s.InitWithin, 10 * time.Second}, {&s.PingEvery, 25 * time.Second},
		{&s.WriteWithin, 10 * time.Second}, {&s.Grace, 30 * time.Second},
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
}

// follower runs a subscription of one subgraph. deliver gets each response, until
// the subscription ends, ctx ends or deliver fails.
type follower interface {
	follow(ctx context.Context, query string, variables []byte, deliver func([]byte) error) error
}

// admit returns the context in which one event is shown: that of the caller as
// they are now. Its error ends the stream, and the event is not shown.
type admit func(context.Context) (context.Context, error)

// stream runs a subscription: it hands each result, ready for the client, to
// send. It returns nil when the subscription has ended by itself, ctx's error when
// ctx has, and otherwise why it was ended.
//
// Nothing is shared between clients, not even between equal subscriptions of one
// session: each has its own upstream, its own caller, and its own pace.
//
// again prepares the operation anew when another supergraph comes into force.
func (r *Router) stream(ctx context.Context, op *operation, variables *astjson.Value, again rebind, admit admit, send func([]byte) error) error {
	deliver := func(c *course, event []byte) error {
		err := r.deliver(ctx, c, admit, event, send)
		if err != nil {
			r.metrics.dropped.Inc()
			return err
		}
		r.metrics.sent.Inc()
		return nil
	}
	r.metrics.subscriptions.Inc()
	defer r.metrics.subscriptions.Dec()
	var on *course
	for {
		first, err := admit(ctx)
		if err != nil {
			return err
		}
		if on == nil {
			on, err = r.newCourse(first, op, variables)
		}
		if err == nil {
			_, err = r.admittedTo(first, on.op)
		}
		if err != nil {
			return err
		}
		err = r.follow(first, on, again, deliver)
		var moved *movedError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &moved):
			on = moved.to
		default:
			return err
		}
	}
}

// deliver shows one event to the client, if the caller still counts.
func (r *Router) deliver(ctx context.Context, c *course, admit admit, event []byte, send func([]byte) error) error {
	current, err := admit(ctx)
	if err != nil {
		return err
	}
	result, err := r.resolveEvent(current, c.op, c.variables, event)
	if err != nil {
		return err
	}
	return send(result)
}

// triggerRequest renders what the trigger's subgraph is asked.
func (r *Router) triggerRequest(ctx context.Context, op *operation, variables *astjson.Value) (string, []byte, error) {
	rc := r.resolveContext(ctx, op, variables)
	var rendered bytes.Buffer
	if err := op.trigger.template.Render(rc, nil, &rendered); err != nil {
		return "", nil, fault.Internal(fmt.Errorf("subscription of %s: %w", op.trigger.subgraph, err))
	}
	request, ok := readFetchInput(rendered.Bytes())
	if !ok {
		return "", nil, fault.Internal(fmt.Errorf("subscription of %s: unreadable input", op.trigger.subgraph))
	}
	query, err := decodeJSONString(request.query)
	if err != nil {
		return "", nil, fault.Internal(fmt.Errorf("subscription of %s: %w", op.trigger.subgraph, err))
	}
	return query, request.definedVariables(), nil
}

// resolveContext is one running of an operation for the caller of ctx.
func (r *Router) resolveContext(ctx context.Context, op *operation, variables *astjson.Value) *resolve.Context {
	rc := resolve.NewContext(ctx)
	rc.Variables = variables
	rc.RemapVariables = op.variables.remap
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
	refused, err := r.admittedTo(ctx, op)
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
		return r.withErrors(ctx, found, []byte("null"))
	}
	var out bytes.Buffer
	if _, err := r.resolver.ResolveGraphQLResponse(r.resolveContext(ctx, part, variables), part.response, data.MarshalTo(nil), &out); err != nil {
		return nil, fault.Internal(err)
	}
	if len(found) == 0 && part.whole == nil {
		result, _, err := r.clientResponse(ctx, out.Bytes())
		return result, err
	}
	resolved, err := astjson.ParseBytes(out.Bytes())
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
	return r.withErrors(ctx, append(found, resolved.GetArray("errors")...), rest)
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
)
