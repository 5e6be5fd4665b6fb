// Package subgraph is the handler that all subgraphs share: a gqlgen executor
// behind an in-process call and behind HTTP, with one way to present errors, one
// set of limits, and the directives and scalars that every schema uses.
//
// It knows no domain: what a field may do is the resolvers' matter.
package subgraph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/tradesage/tradesage/graph/crew"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/permission"
)

// Options bounds what a subgraph accepts. Zero values take the defaults.
type Options struct {
	// Authenticate tells who is asking, for requests over HTTP only: a subgraph that
	// is reachable by itself verifies the token again. No caller and no error is an
	// anonymous request. Nil takes every request as anonymous.
	Authenticate func(*http.Request) (*identity.Caller, error)
	// Recheck says whether a caller still counts, for streams over HTTP: before each
	// event. Nil checks the token's expiry alone.
	Recheck func(context.Context, *identity.Caller) error
	// AllowMutations is asked before each mutation and subscription; its error is the
	// answer. Nil lets all of them run.
	AllowMutations func() error
	// Mutated is called after each mutation that has run; nil calls nobody.
	Mutated func()
	// Lacks tells what the caller lacks of lists of scopes, as permission.Permissions
	// does, for @requiresScopes of types; nil is a subgraph whose callers hold none.
	// That of fields asks what the schema was made with.
	Lacks func(ctx context.Context, anyOf [][]string) (missing string, err error)
	// Introspection lets requests over HTTP and in-process select __schema.
	Introspection bool
	// MaxBodyBytes bounds an HTTP request's body; default 4 MiB, since entity
	// requests of the router carry up to MaxEntities keys.
	MaxBodyBytes int64
	// MaxFields bounds the fields of an operation over HTTP, its fragments expanded;
	// default 5,000. In-process operations are bounded by the router.
	MaxFields int
	// MaxEntities bounds the representations of one operation; default 1,000.
	MaxEntities int
	// QueryCache is how many parsed documents are kept; default 1,000. The router
	// sends few different ones.
	QueryCache int
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// Server runs one subgraph's schema. It is safe for concurrent use.
type Server struct {
	name     string
	executor *executor.Executor
	repeats  repeats
	entities []string // the types that are resolved by key
	demands  *demands // nil if there are none
	options  Options
	log      *slog.Logger
	events   crew.Crew       // renders and delivers the events of subscriptions
	ending   context.Context // ends with EndStreams
	end      context.CancelFunc
}

// New makes a server; name appears in its log lines.
func New(name string, schema graphql.ExecutableSchema, options Options) *Server {
	if options.MaxBodyBytes <= 0 {
		options.MaxBodyBytes = 4 << 20
	}
	if options.MaxFields <= 0 {
		options.MaxFields = 5_000
	}
	if options.MaxEntities <= 0 {
		options.MaxEntities = 1_000
	}
	if options.QueryCache <= 0 {
		options.QueryCache = 1_000
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	s := &Server{
		name:     name,
		executor: executor.New(schema),
		entities: entityTypes(schema.Schema()),
		demands:  newDemands(schema.Schema(), options.Lacks),
		options:  options,
		log:      options.Logger.With("subgraph", name),
	}
	s.ending, s.end = context.WithCancel(context.Background())
	s.repeats.checked = lru.New[*ast.QueryDocument](options.QueryCache)
	s.executor.SetQueryCache(s.repeats.checked)
	s.executor.SetErrorPresenter(s.present)
	s.executor.SetRecoverFunc(s.recovered)
	s.executor.SetDisableSuggestion(true)
	s.executor.SetParserTokenLimit(maxTokens)
	if s.demands != nil {
		s.executor.AroundFields(s.demands.around)
	}
	return s
}

// entityTypes are the members of federation's union of them.
func entityTypes(schema *ast.Schema) []string {
	if union := schema.Types["_Entity"]; union != nil {
		return union.Types
	}
	return nil
}

// maxTokens bounds a document: the router's own limit with room for the keys that
// planning adds.
const maxTokens = 20_000

// Execute runs an operation and returns the whole GraphQL response as JSON, its
// errors included; variables is a JSON object or empty. The caller's identity is
// taken from ctx. It returns nil only if ctx ended first.
func (s *Server) Execute(ctx context.Context, query, operationName string, variables []byte) []byte {
	response, _ := s.ExecuteExact(ctx, query, operationName, variables)
	return response
}

// ExecuteExact is Execute, and tells whether there are no errors: the response is
// then {"data":…} alone, with the fields as they were selected. Errors come before
// the data.
func (s *Server) ExecuteExact(ctx context.Context, query, operationName string, variables []byte) (_ []byte, clean bool) {
	params := &graphql.RawParams{Query: query, OperationName: operationName}
	if len(variables) > 0 {
		if err := decodeObject(variables, &params.Variables); err != nil {
			return encode(s.failed(ctx, fault.InvalidInput("variables", "variables are not a JSON object"))), false
		}
	}
	response := s.run(ctx, params, noLimit)
	return encode(response), response != nil && plain(response)
}

// noLimit leaves counting fields to the router.
const noLimit = 0

// run executes params and returns nil if ctx ended.
func (s *Server) run(ctx context.Context, params *graphql.RawParams, maxFields int) *graphql.Response {
	if maxFields != noLimit {
		if err := s.repeats.check(ctx, params.Query, maxFields); err != nil {
			return s.failed(ctx, err)
		}
	}
	ctx = graphql.StartOperationTrace(ctx)
	operation, errs := s.executor.CreateOperationContext(ctx, params)
	if len(errs) > 0 {
		return s.executor.DispatchError(graphql.WithOperationContext(ctx, operation), errs)
	}
	if err := errors.Join(s.check(operation, maxFields), s.allow(operation)); err != nil {
		return s.failed(ctx, err)
	}
	if s.demands != nil {
		if err := s.demands.entities(ctx, operation); err != nil {
			return s.failed(ctx, err)
		}
	}
	operation.DisableIntrospection = !s.options.Introspection
	if operation.Operation.Operation == ast.Query {
		ctx = permission.Remember(ctx)
	}
	next, ctx := s.executor.DispatchOperation(ctx, operation)
	response := next(ctx)
	if s.options.Mutated != nil && operation.Operation.Operation == ast.Mutation {
		s.options.Mutated()
	}
	return response
}

// allow says whether the operation may run now: queries always may.
func (s *Server) allow(operation *graphql.OperationContext) error {
	if s.options.AllowMutations == nil || operation.Operation.Operation == ast.Query {
		return nil
	}
	return s.options.AllowMutations()
}

// EndStreams ends the streams over HTTP, each with UNAVAILABLE, and refuses new
// ones: the process is about to end.
func (s *Server) EndStreams() { s.end() }

// failed is a response of one error and no data.
func (s *Server) failed(ctx context.Context, err error) *graphql.Response {
	return &graphql.Response{Errors: gqlerror.List{s.present(ctx, err)}}
}

// plain is a response of data alone.
func plain(response *graphql.Response) bool {
	return len(response.Errors) == 0 && len(response.Extensions) == 0 && len(response.Data) > 0
}

// encode renders a response; without errors the data is not encoded again.
func encode(response *graphql.Response) []byte {
	if response == nil {
		return nil
	}
	if plain(response) {
		out := make([]byte, 0, len(response.Data)+len(`{"data":}`))
		out = append(out, `{"data":`...)
		return append(append(out, response.Data...), '}')
	}
	out, err := json.Marshal(response)
	if err != nil { // a custom scalar that writes no JSON
		return []byte(`{"errors":[{"message":"internal error","extensions":{"code":"INTERNAL"}}],"data":null}`)
	}
	return out
}

// decodeObject reads a JSON object; numbers keep their text.
func decodeObject(data []byte, into *map[string]any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	return decoder.Decode(into)
}
