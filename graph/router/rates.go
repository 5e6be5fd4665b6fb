package router

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/wundergraph/astjson"
	"github.com/wundergraph/graphql-go-tools/v2/pkg/ast"

	"github.com/tradesage/tradesage/graph/router/internal/clienterr"
	"github.com/tradesage/tradesage/graph/router/internal/document"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/ratelimit"
)

// Rates are how often callers of a class may ask. What is nil is not limited.
type Rates struct {
	// IP counts requests of who is not signed in, and sign-ins that fail, by the
	// client's address (of IPv6 the /64 of it).
	IP *ratelimit.Policy
	// Sockets counts WebSockets that an address opens.
	Sockets *ratelimit.Policy
	// User and Tenant count the requests of who is signed in.
	User, Tenant *ratelimit.Policy
	// UserCost and TenantCost count what their operations cost.
	UserCost, TenantCost *ratelimit.Policy
}

// FieldRate limits a field of mutations beyond the operation that it is in. What is
// nil is not limited.
type FieldRate struct {
	// IP is by the client's address, User by who is signed in, and Value by the text
	// of an argument.
	IP, User, Value *ratelimit.Policy
	// Argument is where the text of Value is, as "input.email". Upper and lower case
	// and blanks around it make no difference.
	Argument string
}

// limitedField is a field of an operation with a rate of its own.
type limitedField struct {
	rate  *FieldRate
	value textSource
}

// textSource is where a request says a text: in a variable or in the document.
type textSource struct {
	path     []string
	constant string
}

func (s *textSource) of(variables *astjson.Value) string {
	if s.path != nil {
		if v := variables.Get(s.path...); v != nil && v.Type() == astjson.TypeString {
			return string(v.GetStringBytes())
		}
		if variables.Get(s.path[0]) != nil {
			return ""
		}
	}
	return s.constant
}

// limitedFields finds the fields of a normalized operation that have rates.
func (r *Router) limitedFields(doc *ast.Document) []limitedField {
	var out []limitedField
	for _, node := range doc.RootNodes {
		if len(r.options.FieldRates) == 0 || node.Kind != ast.NodeKindOperationDefinition ||
			doc.OperationDefinitions[node.Ref].OperationType != ast.OperationTypeMutation {
			continue
		}
		for _, field := range rootFields(doc, doc.OperationDefinitions[node.Ref].SelectionSet) {
			rate, ok := r.options.FieldRates[doc.FieldNameString(field)]
			if !ok {
				continue
			}
			limited := limitedField{rate: &rate}
			if name, rest, _ := strings.Cut(rate.Argument, "."); name != "" {
				var path []string
				if rest != "" {
					path = strings.Split(rest, ".")
				}
				if argument, ok := doc.FieldArgument(field, []byte(name)); ok {
					limited.value = textIn(doc, node.Ref, doc.ArgumentValue(argument), path)
				}
			}
			out = append(out, limited)
		}
	}
	return out
}

// rootFields are the fields of a set, those in its inline fragments too.
func rootFields(doc *ast.Document, set int) []int {
	var out []int
	for _, ref := range doc.SelectionSets[set].SelectionRefs {
		switch s := doc.Selections[ref]; s.Kind {
		case ast.SelectionKindField:
			out = append(out, s.Ref)
		case ast.SelectionKindInlineFragment:
			if below, ok := doc.InlineFragmentSelectionSet(s.Ref); ok {
				out = append(out, rootFields(doc, below)...)
			}
		}
	}
	return out
}

func textIn(doc *ast.Document, operation int, value ast.Value, path []string) (out textSource) {
	switch {
	case value.Kind == ast.ValueKindVariable:
		name := doc.VariableValueNameBytes(value.Ref)
		if d, ok := doc.VariableDefinitionByNameAndOperation(operation, name); ok && doc.VariableDefinitionHasDefaultValue(d) {
			out = textIn(doc, operation, doc.VariableDefinitionDefaultValue(d), path)
		}
		out.path = append([]string{string(name)}, path...)
	case value.Kind == ast.ValueKindString && len(path) == 0:
		raw, err := doc.ValueToJSON(value)
		if err != nil {
			return out
		}
		if v, err := astjson.ParseBytes(raw); err == nil {
			out.constant = string(v.GetStringBytes())
		}
	case value.Kind == ast.ValueKindObject && len(path) > 0:
		for _, ref := range doc.ObjectValues[value.Ref].Refs {
			if doc.ObjectFieldNameString(ref) == path[0] {
				return textIn(doc, operation, doc.ObjectFieldValue(ref), path[1:])
			}
		}
	}
	return out
}

// charge is what one request takes from the rate limits.
type charge struct {
	demands [ratelimit.MaxDemands]ratelimit.Demand
	n       int
}

func (c *charge) add(p *ratelimit.Policy, tenant, id ratelimit.ID, cost int64) {
	if p != nil && c.n < len(c.demands) {
		c.demands[c.n] = ratelimit.Demand{Policy: p, Tenant: tenant, ID: id, Cost: cost}
		c.n++
	}
}

func addressID(ctx context.Context) ratelimit.ID {
	text := identity.ClientFrom(ctx).IP
	if ip, err := netip.ParseAddr(text); err == nil {
		ip = ip.Unmap()
		if ip.Is6() { // one subscriber has them all
			if prefix, err := ip.Prefix(64); err == nil {
				ip = prefix.Addr()
			}
		}
		text = ip.String()
	}
	return ratelimit.HashID(text)
}

// asks adds one request of the caller of ctx.
func (c *charge) asks(ctx context.Context, r *Router, rates *Rates) *identity.Caller {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		if rates.IP != nil {
			c.add(rates.IP, ratelimit.ID{}, addressID(ctx), 1)
		}
		c.client(ctx, r, nil)
		return nil
	}
	tenant := ratelimit.ID(caller.Tenant.ID())
	c.add(rates.User, tenant, ratelimit.ID(caller.Subject), 1)
	c.add(rates.Tenant, tenant, ratelimit.ID{}, 1)
	c.client(ctx, r, caller)
	return caller
}

// knownDenied refuses a request of which it is known already that there are too
// many, before anything is read.
func (r *Router) knownDenied(ctx context.Context, c *class) error {
	if r.options.Limiter == nil {
		return nil
	}
	var all charge
	all.asks(ctx, r, c.rates)
	for i := range all.n {
		if v, denied := r.options.Limiter.Denied(&all.demands[i]); denied {
			return c.limited(v)
		}
	}
	return nil
}

// take charges a request: what it is, what it costs, and the fields with rates. op
// is nil for one that is none.
func (r *Router) take(ctx context.Context, c *class, op *operation, cost int64, variables *astjson.Value) (ratelimit.Verdict, error) {
	if r.options.Limiter == nil {
		return ratelimit.Verdict{}, nil
	}
	var all charge
	caller := all.asks(ctx, r, c.rates)
	if caller != nil {
		tenant := ratelimit.ID(caller.Tenant.ID())
		all.add(c.rates.UserCost, tenant, ratelimit.ID(caller.Subject), max(cost, 1))
		all.add(c.rates.TenantCost, tenant, ratelimit.ID{}, max(cost, 1))
	}
	if op != nil {
		for i := range op.limited {
			all.field(ctx, &op.limited[i], caller, variables)
		}
	}
	return r.settle(ctx, c, &all)
}

func (c *charge) field(ctx context.Context, f *limitedField, caller *identity.Caller, variables *astjson.Value) {
	if f.rate.IP != nil {
		c.add(f.rate.IP, ratelimit.ID{}, addressID(ctx), 1)
	}
	if f.rate.User != nil && caller != nil {
		c.add(f.rate.User, ratelimit.ID(caller.Tenant.ID()), ratelimit.ID(caller.Subject), 1)
	}
	if f.rate.Value == nil {
		return
	}
	if text := strings.ToLower(strings.TrimSpace(f.value.of(variables))); text != "" {
		c.add(f.rate.Value, ratelimit.ID{}, ratelimit.HashID(text), 1)
	}
}

// takeFromAddress charges something of the client's address.
func (r *Router) takeFromAddress(ctx context.Context, c *class, p *ratelimit.Policy) error {
	if r.options.Limiter == nil || p == nil {
		return nil
	}
	var all charge
	all.add(p, ratelimit.ID{}, addressID(ctx), 1)
	_, err := r.settle(ctx, c, &all)
	return err
}

func (r *Router) settle(ctx context.Context, c *class, all *charge) (ratelimit.Verdict, error) {
	v := r.options.Limiter.Take(ctx, all.demands[:all.n])
	if v.Refused {
		return v, c.limited(v)
	}
	return v, nil
}

// rateError is the cause of a refusal by a rate limit.
type rateError struct {
	document.BeyondLimit
	verdict ratelimit.Verdict
	class   *class
}

// Unwrap tells metrics the kind of limit.
func (e *rateError) Unwrap() error { return &e.BeyondLimit }

// limited is the answer to a refusal.
func (c *class) limited(v ratelimit.Verdict) error {
	c.refused("rate")
	return fault.RateLimited(fmt.Sprintf("too many requests (%s); try again later", v.Policy.Name), max(v.RetryAfter, time.Millisecond)).
		Because(&rateError{document.BeyondLimit{Kind: "rate"}, v, c})
}

// policyHeader lists the policies of a class (draft-ietf-httpapi-ratelimit-headers).
func (r *Rates) policyHeader() []string {
	var out []string
	for _, p := range []*ratelimit.Policy{r.IP, r.User, r.Tenant, r.UserCost, r.TenantCost} {
		if p != nil {
			out = append(out, policyItem(p))
		}
	}
	if out == nil {
		return nil
	}
	return []string{strings.Join(out, ", ")}
}

func policyItem(p *ratelimit.Policy) string {
	return fmt.Sprintf("%q;q=%d;w=%d", p.Name, p.Quota, clienterr.Seconds(p.Period))
}

// tellRefusal says in the headers of a refusal which policy refused: it may be one
// of a field, or of a program, that is not among those of every request.
func (x *exchange) tellRefusal(e *rateError) {
	x.tellRates(e.class, e.verdict)
	item, header := policyItem(e.verdict.Policy), x.w.Header()
	known := strings.Join(header["Ratelimit-Policy"], ", ")
	switch {
	case known == "":
		header["Ratelimit-Policy"] = []string{item}
	case !strings.Contains(known, item):
		header["Ratelimit-Policy"] = []string{known + ", " + item}
	}
}

// tellRates says in a response's headers what is left of the policy of which least
// is left.
func (x *exchange) tellRates(c *class, v ratelimit.Verdict) {
	if v.Policy == nil {
		return
	}
	var room [96]byte
	out := append(room[:0], '"')
	out = append(append(out, v.Policy.Name...), `";r=`...)
	out = append(strconv.AppendInt(out, v.Remaining, 10), `;t=`...)
	out = strconv.AppendInt(out, int64(clienterr.Seconds(max(v.Reset, v.RetryAfter))), 10)
	header := x.w.Header()
	header["Ratelimit"] = []string{string(out)}
	header["Ratelimit-Policy"] = c.policies
}

// maxThrottled is how many operations in a row a rate limit may refuse on a socket
// before it is closed.
const maxThrottled = 20

// throttle notes that an operation was refused by a rate limit. A client that goes
// on all the same loses its socket, with 4429.
func (s *socket) throttle() {
	if s.throttled.Add(1) > maxThrottled {
		s.close(closeTooManyRequests, "too many operations; connect again later")
	}
}

// asking is a context of a socket with the caller as they were last known.
func (s *socket) asking(ctx context.Context) context.Context {
	if name := s.client.Load(); name != nil {
		ctx = identity.WithClientName(ctx, *name)
	}
	if caller := s.caller.Load(); caller != nil {
		return identity.NewContext(ctx, caller)
	}
	return ctx
}
