package router

import (
	"github.com/wundergraph/graphql-go-tools/v2/pkg/engine/resolve"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/errorcodes"

	"github.com/tradesage/tradesage/internal/fault"
)

// signInFirst is what an anonymous client reads where a field is @authenticated.
const signInFirst = "sign in first"

// refuseAnonymous denies every @authenticated field of a request without a caller;
// a fetch of nothing else is not made, so no mutation runs. Signed-in requests run without it: what a caller may
// do is the subgraphs' decision, and they check @authenticated again.
type refuseAnonymous struct{}

var _ resolve.BatchAuthorizer = refuseAnonymous{}

func (refuseAnonymous) AuthorizeFields(_ *resolve.Context, fields []resolve.GraphCoordinate) ([]resolve.AuthorizationDecision, error) {
	out := make([]resolve.AuthorizationDecision, len(fields))
	for i := range out {
		out[i].Reason = signInFirst
	}
	return out, nil
}

// engineUnauthorized is the code of the engine's errors for denied fields.
const engineUnauthorized fault.Code = errorcodes.UnauthorizedFieldOrType
