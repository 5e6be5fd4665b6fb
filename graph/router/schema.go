package router

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/tradesage/tradesage/graph/router/internal/accept"
	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/graph/router/internal/rights"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/telemetry"
)

// SchemaSDL serves the schema that clients see as GraphQL SDL, for GET and HEAD,
// with an ETag for conditional requests, to those who may introspect: others are
// answered with 401 or 403, and everybody with 404 where introspection is off.
// @inaccessible parts are not in it.
func (r *Router) SchemaSDL() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		ctx, x := req.Context(), &exchange{router: r, w: w, media: accept.JSON}
		ctx, id := telemetry.EnsureRequestID(ctx)
		w.Header().Set(telemetry.HeaderRequestID, id)
		if !r.options.Introspection {
			w.Header().Set("Cache-Control", "no-store")
			authenticated, err := x.authenticate(ctx, req)
			if err == nil {
				err = r.mayReadSchema(authenticated)
			}
			if err != nil {
				x.refuseReader(ctx, err)
				return
			}
		}
		sdl, etag := r.current.Load().graph.Published()
		header := w.Header()
		header.Set("Content-Type", "text/plain; charset=utf-8")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cache-Control", "no-cache") // ask again each time; the ETag makes it cheap
		if !r.options.Introspection {
			header.Set("Cache-Control", "private, no-cache")
			header.Add("Vary", "Authorization")
		}
		header.Set("ETag", etag)
		// ServeContent would do more than needed; it has no name for the type either.
		if matchesETag(req.Header.Get("If-None-Match"), etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if req.Method == http.MethodGet {
			_, _ = w.Write([]byte(sdl)) // a client that is gone needs no answer
		}
	})
}

// mayReadSchema tells whether the caller of ctx may introspect: nil, FORBIDDEN where
// nobody may or a scope is missing, UNAUTHENTICATED for nobody, UNAVAILABLE where
// it cannot be told.
func (r *Router) mayReadSchema(ctx context.Context) error {
	if r.options.Introspection {
		return nil
	}
	if r.options.IntrospectionScope == "" {
		return errIntrospectionOff
	}
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return errSignInFirst
	}
	refused, err := r.unfulfilled(ctx, caller, &rights.Requirement{Scopes: [][]string{{r.options.IntrospectionScope}}})
	if err != nil {
		return err
	}
	if refused != nil {
		return refused
	}
	return nil
}

// suggesting words a refused document anew where it has names that are unknown and the
// caller of ctx may read the schema: with those that are like them. Whether they may is
// asked only then. Nobody else learns a name.
func (r *Router) suggesting(ctx context.Context, err error) error {
	var refused *clienterr.DocumentError
	if !errors.As(err, &refused) || refused.Text == "" || r.mayReadSchema(ctx) != nil {
		return err
	}
	if worded := r.current.Load().valid.Suggest(refused.Text); worded != nil {
		return worded
	}
	return err // by another supergraph, meanwhile
}

var errIntrospectionOff = fault.Forbidden("introspection is switched off")

// refuseReader answers somebody who may not read the schema.
func (x *exchange) refuseReader(ctx context.Context, err error) {
	switch f, ok := fault.As(err); {
	case errors.Is(err, errIntrospectionOff):
		x.refuse(ctx, http.StatusNotFound, outcomeRefused, err)
	case ok && f.Code != fault.CodeUnauthenticated:
		x.refuse(ctx, clienterr.Statuses[f.Code], outcomeRefused, err)
	default:
		x.refuseCaller(ctx, err)
	}
}

// matchesETag compares weakly (RFC 9110, 13.1.2).
func matchesETag(header, etag string) bool {
	etag = strings.TrimPrefix(etag, "W/")
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == "*" || candidate == etag {
			return true
		}
	}
	return false
}
