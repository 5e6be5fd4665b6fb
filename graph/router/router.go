// Package router answers clients' GraphQL operations from the supergraph: it
// parses, validates and plans an operation once, keeps the plan, and runs it
// against subgraphs in this process or behind HTTP.
//
// It knows nothing of TradeSage's domain, and no type of the engine under it
// (wundergraph/graphql-go-tools) appears in its API. Who is asking is decided by
// Options.Authenticate, what they may do by Options.MissingScope; what the schema
// demands of them is enforced before anything is fetched.
package router

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"

	"github.com/tradesage/tradesage/graph/fairqueue"
	"github.com/tradesage/tradesage/graph/pace"
	"github.com/tradesage/tradesage/graph/persisted"
	"github.com/tradesage/tradesage/graph/persisted/automatic"
	"github.com/tradesage/tradesage/graph/upstream"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/ratelimit"
)

// LocalSubgraph is a subgraph that runs in this process.
type LocalSubgraph interface {
	// Execute runs one operation and returns a whole GraphQL response as JSON,
	// errors included. variables is a JSON object or nil; the caller's identity
	// is in ctx. The result is not changed or kept by the router.
	Execute(ctx context.Context, query, operationName string, variables []byte) []byte
}

// ExactSubgraph is a LocalSubgraph that keeps to its schema by construction, as a
// generated executor does. The router hands its answers to clients as they are
// where nothing is left to do on them.
type ExactSubgraph interface {
	LocalSubgraph
	// ExecuteExact is Execute, and tells whether the response has no errors: it is
	// then {"data":…} with the selected fields, in their order and of their types.
	// A response with errors has them first.
	ExecuteExact(ctx context.Context, query, operationName string, variables []byte) (response []byte, clean bool)
}

// LocalStreams is a LocalSubgraph with subscriptions.
type LocalStreams interface {
	// Subscribe runs one subscription and hands each response, a whole one as JSON,
	// to deliver, until the subscription ends, ctx ends or deliver fails.
	Subscribe(ctx context.Context, query, operationName string, variables []byte, deliver func([]byte) error) error
}

// LocalFeeds is a LocalStreams that runs subscriptions without a goroutine for each.
type LocalFeeds interface {
	// Follow is Subscribe that returns once the subscription has begun, and calls over
	// at its end, perhaps before it returns, with what Subscribe would return. deliver
	// calls aside.Yield before it waits long. The caller ends ctx after over.
	Follow(ctx context.Context, query, operationName string, variables []byte, deliver func(context.Context, []byte) error, over func(error))
}

// Remote is how a subgraph of another process is reached.
type Remote struct {
	// URL is where it answers; the composition's if empty.
	URL string
	// Transport carries the requests; http.DefaultTransport if nil.
	Transport http.RoundTripper
	// Streams carries server-sent events, which hold connections of HTTP/1.1; Transport
	// if nil.
	Streams http.RoundTripper
	// SocketTransport opens WebSockets, over HTTP/1.1; Transport, without its bound of
	// connections, if nil.
	SocketTransport http.RoundTripper
	// Renews says that the subgraph takes newer access tokens on an open stream, as
	// subgraph.Server does over HTTP/2. Without it a subscription ends with the
	// token that it began with.
	Renews bool
	// Sockets asks for subscriptions over graphql-transport-ws, where the subgraph
	// opens a socket of it; server-sent events otherwise.
	Sockets bool
	// PerSocket is the most subscriptions that share such a socket: those of callers
	// whom the subgraph cannot tell apart. 50 if zero, 1 for a socket each.
	PerSocket int
	// Timeout bounds the wait for an answer; Options.FetchTimeout if zero.
	Timeout time.Duration
}

// Options says what a Router serves and what it accepts. Only Config is needed.
type Options struct {
	// Config is the execution config as composition writes it (JSON).
	Config []byte
	// Local holds the subgraphs that run in this process, by their name in the
	// composition. All others are reached over HTTP.
	Local map[string]LocalSubgraph
	// Remote says how subgraphs of other processes are reached, by their names; one
	// that is neither here nor in Local is called at the composition's URL.
	Remote map[string]Remote
	// Fixed says that the supergraph stays as it is: Reload fails. Open connections
	// then keep no token where no subgraph of another process needs it.
	Fixed bool
	// Authenticate tells who is asking. No caller and no error is an anonymous
	// request, as for login. A fault of the code UNAVAILABLE answers 503 and of
	// RATE_LIMITED 429; any other error answers 401, UNAUTHENTICATED.
	// Nil takes every request as anonymous.
	Authenticate func(*http.Request) (*identity.Caller, error)
	// AllowMutations is asked before each mutation and subscription runs; its error, as a fault of
	// the code UNAVAILABLE, is the answer. Nil lets all of them run.
	AllowMutations func() error
	// Recheck says whether a caller of Authenticate still counts; its error is as
	// Authenticate's. It is asked before each event of a subscription. Nil trusts a
	// caller until the token's end.
	Recheck func(context.Context, *identity.Caller) error
	// MissingScope tells what the caller of ctx lacks of lists of scopes of which one
	// must be held whole: "" if nothing, else the first scope missing of the first
	// list. Its error, as a fault of the code UNAVAILABLE, is the answer to the
	// operation. Nil is a router whose callers hold no scope.
	MissingScope func(ctx context.Context, anyOf [][]string) (missing string, err error)
	// Streams bounds WebSockets and streams.
	Streams Streams
	// FetchTimeout bounds the wait for an answer of a remote subgraph; default 30 s.
	// Of what the client sent, Authorization, X-Request-Id, User-Agent and its
	// address (Forwarded) are passed on.
	FetchTimeout time.Duration
	// Upstream says when calls of remote subgraphs are repeated and when they are
	// refused because most of the last ones failed.
	Upstream upstream.Policy
	// Limits bounds what a single request may ask for.
	Limits Limits
	// Limiter counts what Rates and FieldRates limit; nil limits no rates. Clients'
	// addresses are identity.ClientFrom's.
	Limiter *ratelimit.Limiter
	// Rates are how often callers may ask.
	Rates Rates
	// FieldRates limit fields of mutations by their names.
	FieldRates map[string]FieldRate
	// ClientRates limit programs by their names.
	ClientRates ClientRates
	// Classes are kinds of callers with limits of their own; SetClasses replaces them.
	Classes []Class
	// Classify names the class of the caller of a context, who may be nobody; it must
	// not wait. A name that is not in Classes means Limits alone, and so does nil.
	Classify func(context.Context) string
	// CacheSize is how many prepared operations are kept, by default 2048. Large
	// operations count for more, so that the memory stays bounded too.
	CacheSize int
	// MaxConcurrent is how many operations run at once, by default 1024; more wait.
	MaxConcurrent int
	// Trusted says which operations clients may send; SetManifest gives them.
	Trusted Trusted
	// Automatic keeps operations that clients have sent with their hashes; nil keeps
	// none, and so does Trusted.Only.
	Automatic *automatic.Store
	// Concurrency shares those between tenants and users.
	Concurrency Concurrency
	// Introspection lets all clients select __schema and __type, and read SchemaSDL.
	Introspection bool
	// IntrospectionScope lets callers do so who hold this scope, where Introspection
	// is false; nobody may if it is empty.
	IntrospectionScope string
	// Logger defaults to slog.Default().
	Logger *slog.Logger
	// Metrics is where the router's metrics are registered; nil for nowhere.
	Metrics prometheus.Registerer
	// Observing bounds what is told of single operations and tenants.
	Observing Observing
}

const (
	defaultCacheSize     = 2048
	defaultMaxConcurrent = 1024
	defaultFetchTimeout  = 30 * time.Second
)

// Router is an http.Handler for GraphQL over HTTP. It is safe for concurrent use
// and holds no state of its own but caches.
type Router struct {
	options Options
	// policy is what callers may ask for.
	policy   atomic.Pointer[policy]
	streams  Streams
	clients  clients
	feeds    feeds
	resolver *resolve.Resolver
	// current is the supergraph in force with all that depends on it.
	current atomic.Pointer[generation]
	// reloading is held while another one takes its place.
	reloading sync.Mutex
	// slots are taken by what runs, secrets by what checks a secret.
	slots, secrets *fairqueue.Queue
	// pace is nil where the slots stay as many.
	pace *pace.Pace
	// manifest holds the persisted operations.
	manifest atomic.Pointer[persisted.Manifest]
	// unfit are those that the supergraph in force cannot run.
	unfit atomic.Pointer[[]string]
	// known are the programs that are told apart.
	known   atomic.Pointer[knownClients]
	log     *slog.Logger
	metrics *metrics
	// upstreams are the metrics of remote subgraphs.
	upstreams *upstream.Metrics
}

// New loads the config and returns a router. ctx ends the router's background
// work. It fails on a config that does not parse, on a local subgraph that the
// config does not name, and on a schema that uses the reserved alias prefix.
func New(ctx context.Context, options Options) (*Router, error) {
	if options.FetchTimeout <= 0 {
		options.FetchTimeout = defaultFetchTimeout
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	if options.CacheSize <= 0 {
		options.CacheSize = defaultCacheSize
	}
	if options.MaxConcurrent <= 0 {
		options.MaxConcurrent = defaultMaxConcurrent
	}
	options.Observing = options.Observing.withDefaults()
	r := &Router{
		options: options,
		streams: options.Streams.withDefaults(),
		log:     options.Logger,
		metrics: newMetrics(options.Observing),

		upstreams: upstream.NewMetrics(),
	}
	first, err := r.newPolicy(Classification{options.Classes, options.Classify, options.Concurrency.Of})
	if err != nil {
		return nil, err
	}
	r.policy.Store(first)
	r.knowClients(nil)
	if err := r.openSlots(ctx, options.Metrics); err != nil {
		return nil, err
	}
	if err := r.metrics.register(options.Metrics); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if options.Metrics != nil {
		if err := r.upstreams.Register(options.Metrics); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	graph, err := r.newGeneration(ctx, options.Config, options.Remote)
	if err != nil {
		return nil, err
	}
	r.current.Store(graph)
	r.metrics.loaded.SetToCurrentTime()
	r.resolver = resolve.New(ctx, resolve.ResolverOptions{
		MaxConcurrency:               2 * options.MaxConcurrent, // both kinds of slots: the engine's own queue knows no tenants
		PropagateSubgraphErrors:      true,
		SubgraphErrorPropagationMode: resolve.SubgraphErrorPropagationModePassThrough,
		RewriteSubgraphErrorPaths:    true,
		OmitSubgraphErrorLocations:   true,
		AllowedErrorExtensionFields:  []string{"code", "field", "retryAfter", "maxAge"},
	})
	return r, nil
}
