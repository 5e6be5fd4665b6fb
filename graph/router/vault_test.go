package router_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
)

// vault is a supergraph that demands something of callers nearly everywhere. Its
// subgraphs check nothing: what is refused, the router has refused.
type vault struct {
	accounts, files *subgraph
	router          *router.Router
	as              identity.Caller // whose tenant all callers are of

	mu     sync.Mutex
	asked  int // how often scopes were asked for
	away   error
	scopes map[string][]string // by token, changed by hold
	ages   map[string]time.Duration
	who    map[uuid.UUID]string
}

func newVault(tb testing.TB, change func(*router.Options)) *vault {
	tb.Helper()
	v := &vault{
		accounts: newSubgraph(tb, "vault", "accounts"), files: newSubgraph(tb, "vault", "files"),
		scopes: map[string][]string{}, ages: map[string]time.Duration{}, who: map[uuid.UUID]string{},
	}
	v.as.Tenant = dbtest.New(tb).Tenant(tb)
	constant := func(value any) resolver {
		return func(context.Context, object, object) (any, error) { return value, nil }
	}
	ada := object{"id": "p1", "name": "Ada", "salary": 9, "code": "x1"}
	ada["boss"] = object{"id": "p2", "name": "Bob", "salary": 99, "code": "x2"}
	for name, value := range map[string]any{
		"Query.open": "sesame", "Query.greeting": "hi", "Query.me": ada, "Query.person": ada,
		"Query.people": list(ada, ada["boss"].(object)), "Query.ledger": object{"id": "l1", "total": 1},
		"Query.grade": "A", "Query.token": "t",
		"Query.things": list(
			object{"__typename": "Box", "id": "b1", "label": "box", "worth": 5},
			object{"__typename": "Bag", "id": "b2", "label": "bag", "worth": 6}),
		"Query.found": list(
			object{"__typename": "Ledger", "id": "l1", "total": 1},
			object{"__typename": "Bag", "id": "b2", "label": "bag", "worth": 6}),
		"Query.holders": list(object{"__typename": "Keeper", "id": "k1", "tall": 2}),
		"Mutation.open": 1, "Mutation.spend": 2, "Mutation.sweep": 3, "Mutation.wipe": 4,
	} {
		v.accounts.fields[name] = constant(value)
	}
	for _, name := range []string{"ticks", "secrets"} {
		v.accounts.fields["Subscription."+name] = func(ctx context.Context, _, _ object) (any, error) {
			return ctx.Value(eventKey{}), nil
		}
	}
	v.accounts.entities["Person"] = func(r object) (any, error) { return clone(ada), nil }
	file := object{"id": "f1", "size": 3, "owner": object{"id": "p1"}}
	v.files.fields["Query.files"] = constant(list(file))
	v.files.fields["Mutation.store"] = constant(5)
	v.files.fields["Person.files"] = constant(list(file))
	v.files.fields["Person.quota"] = constant(7)
	v.files.entities["Person"] = func(r object) (any, error) { return clone(r), nil }
	v.files.entities["File"] = func(r object) (any, error) { return clone(file), nil }
	options := router.Options{
		Config:        readConfig(tb, "vault"),
		Local:         map[string]router.LocalSubgraph{"accounts": v.accounts, "files": v.files},
		Authenticate:  v.authenticate,
		MissingScope:  v.missing,
		Introspection: true,
	}
	if change != nil {
		change(&options)
	}
	v.router = newRouter(tb, options)
	return v
}

// caller returns an Authorization header for somebody with these scopes, who has
// signed in that long ago.
func (v *vault) caller(age time.Duration, scopes ...string) string {
	token := "Bearer " + uuid.NewString()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ages[token] = age
	v.scopes[token] = scopes
	return token
}

func (v *vault) hold(token string, scopes ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.scopes[token] = scopes
}

func (v *vault) authenticate(r *http.Request) (*identity.Caller, error) {
	token := r.Header.Get("Authorization")
	v.mu.Lock()
	defer v.mu.Unlock()
	age, ok := v.ages[token]
	if !ok {
		return nil, nil
	}
	c := &identity.Caller{
		Subject: uuid.New(), Session: uuid.New(), Tenant: v.as.Tenant,
		AuthTime: time.Now().Add(-age), Expires: time.Now().Add(time.Hour),
	}
	v.who[c.Subject] = token
	return c, nil
}

func (v *vault) missing(ctx context.Context, anyOf [][]string) (string, error) {
	caller, err := identity.FromContext(ctx)
	if err != nil {
		return "", err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked++
	if v.away != nil {
		return "", v.away
	}
	first := ""
	for _, all := range anyOf {
		i := slices.IndexFunc(all, func(s string) bool { return !slices.Contains(v.scopes[v.who[caller.Subject]], s) })
		if i < 0 {
			return "", nil
		}
		if first == "" {
			first = all[i]
		}
	}
	return first, nil
}

// queries returns the texts that reached the subgraphs since it was asked last.
func (v *vault) queries() (out []string) {
	for _, s := range []*subgraph{v.accounts, v.files} {
		s.mu.Lock()
		for _, c := range s.calls {
			out = append(out, c.Query)
		}
		s.calls = nil
		s.mu.Unlock()
	}
	return out
}

const (
	signIn    = `"message":"sign in first"`
	anonymous = ""
)

func lacks(scope, path string) string {
	return `{"message":"this needs the permission ` + scope + `","path":` + path + `,"extensions":{"code":"FORBIDDEN"}}`
}

func unknown(path string) string {
	return `{` + signIn + `,"path":` + path + `,"extensions":{"code":"UNAUTHENTICATED"}}`
}

func stale(seconds, path string) string {
	return `{"message":"this needs a password that was given in the last ` + seconds +
		` seconds: ask for it, call confirmPassword, and repeat this with the access token that it answers","path":` + path +
		`,"extensions":{"code":"STEP_UP_REQUIRED","maxAge":` + seconds + `}}`
}

func TestWhatTheSchemaDemands(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	signedIn := v.caller(0)
	for name, c := range map[string]struct {
		as, query, variables, want string
		// calls are how many requests reach subgraphs, and never holds what none of
		// them may ask for.
		calls int
		never string
	}{
		"nobody's field": {
			as: anonymous, query: `{ open }`, want: `{"data":{"open":"sesame"}}`, calls: 1,
		},
		"authenticated": {
			as: anonymous, query: `{ me { name } open }`, calls: 1, never: "me",
			want: `{"errors":[` + unknown(`["me"]`) + `],"data":{"me":null,"open":"sesame"}}`,
		},
		"authenticated, alone: no call": {
			as: anonymous, query: `{ me { name } }`,
			want: `{"errors":[` + unknown(`["me"]`) + `],"data":{"me":null}}`,
		},
		"authenticated, signed in": {
			as: signedIn, query: `{ me { name } }`, want: `{"data":{"me":{"name":"Ada"}}}`, calls: 1,
		},
		"not nullable: the parent is null": {
			as: anonymous, query: `{ greeting open }`, calls: 1, never: "greeting",
			want: `{"errors":[` + unknown(`["greeting"]`) + `],"data":null}`,
		},
		"not nullable inside": {
			as: signedIn, query: `{ me { name code } open }`, calls: 1, never: "code",
			want: `{"errors":[` + lacks("codes", `["me","code"]`) + `],"data":{"me":null,"open":"sesame"}}`,
		},
		"not nullable in a list": {
			as: signedIn, query: `{ people { code } }`, calls: 1, never: "code",
			want: `{"errors":[` + lacks("codes", `["people",0,"code"]`) + `],"data":null}`,
		},
		"scope of a field, with the client's alias": {
			as: signedIn, query: `{ mine: me { pay: salary name } }`, calls: 1, never: "salary",
			want: `{"errors":[` + lacks("salaries", `["mine","pay"]`) + `],"data":{"mine":{"pay":null,"name":"Ada"}}}`,
		},
		"scope held": {
			as: v.caller(0, "salaries"), query: `{ mine: me { pay: salary } }`, calls: 1,
			want: `{"data":{"mine":{"pay":9}}}`,
		},
		"another scope held": {
			as: v.caller(0, "salarie", "salaries2"), query: `{ me { salary } }`, calls: 1, never: "salary",
			want: `{"errors":[` + lacks("salaries", `["me","salary"]`) + `],"data":{"me":{"salary":null}}}`,
		},
		"an alias named like an allowed field": {
			as: signedIn, query: `{ me { name: salary id: code } }`, calls: 1, never: "salary",
			want: `{"errors":[` + lacks("salaries", `["me","name"]`) + `,` + lacks("codes", `["me","id"]`) + `],"data":{"me":null}}`,
		},
		"each element of a list": {
			as: signedIn, query: `{ people { name salary } }`, calls: 1, never: "salary",
			want: `{"errors":[` + lacks("salaries", `["people",0,"salary"]`) + `,` + lacks("salaries", `["people",1,"salary"]`) +
				`],"data":{"people":[{"name":"Ada","salary":null},{"name":"Bob","salary":null}]}}`,
		},
		"enum": {
			as: anonymous, query: `{ grade open }`, calls: 1, never: "grade",
			want: `{"errors":[` + unknown(`["grade"]`) + `],"data":{"grade":null,"open":"sesame"}}`,
		},
		"scalar": {
			as: signedIn, query: `{ token }`,
			want: `{"errors":[` + lacks("tokens", `["token"]`) + `],"data":{"token":null}}`,
		},
		"object type": {
			as: signedIn, query: `{ ledger { __typename id } }`,
			want: `{"errors":[` + lacks("ledger", `["ledger"]`) + `],"data":{"ledger":null}}`,
		},
		"object type in a union": {
			as: signedIn, query: `{ found { __typename ... on Ledger { total } ... on Bag { label } } }`, calls: 1, never: "total",
			want: `{"errors":[` + lacks("ledger", `["found",0]`) + `],"data":{"found":[null,{"__typename":"Bag","label":"bag"}]}}`,
		},
		"object type in a union by its __typename": {
			as: signedIn, query: `{ found { __typename } }`, calls: 1,
			want: `{"errors":[` + lacks("ledger", `["found",0]`) + `],"data":{"found":[null,{"__typename":"Bag"}]}}`,
		},
		"interface type": {
			as: anonymous, query: `{ holders { ... on Keeper { tall } } open }`, calls: 1, never: "holders",
			want: `{"errors":[` + unknown(`["holders"]`) + `],"data":null}`,
		},
		"interface's field": {
			as: signedIn, query: `{ things { id worth } }`, calls: 1, never: "worth",
			want: `{"errors":[` + lacks("worth", `["things",0,"worth"]`) + `,` + lacks("worth", `["things",1,"worth"]`) +
				`],"data":{"things":[{"id":"b1","worth":null},{"id":"b2","worth":null}]}}`,
		},
		"interface's field by a fragment on an object": {
			as: signedIn, query: `{ things { id ... on Box { worth } } }`, calls: 1, never: "worth",
			want: `{"errors":[` + lacks("worth", `["things",0,"worth"]`) + `],"data":{"things":[{"id":"b1","worth":null},{"id":"b2"}]}}`,
		},
		"an object's field by its interface": {
			as: signedIn, query: `{ things { l: label } }`, calls: 1,
			want: `{"errors":[` + lacks("labels", `["things",0,"l"]`) + `],"data":{"things":[{"l":null},{"l":"bag"}]}}`,
		},
		"an object's field by its interface and a fragment": {
			as: signedIn, query: `{ things { ...on Thing { label } ... on Box { id label } ... on Bag { label } } }`, calls: 1,
			want: `{"errors":[` + lacks("labels", `["things",0,"label"]`) + `],"data":{"things":[{"label":null,"id":"b1"},{"label":"bag"}]}}`,
		},
		"named fragments": {
			as: signedIn, query: `{ me { ...A } } fragment A on Person { ...B name } fragment B on Person { salary boss { salary name } }`,
			calls: 1, never: "salary",
			want: `{"errors":[` + lacks("salaries", `["me","salary"]`) + `,` + lacks("salaries", `["me","boss","salary"]`) +
				`],"data":{"me":{"salary":null,"boss":{"salary":null,"name":"Bob"},"name":"Ada"}}}`,
		},
		"a field that is skipped demands nothing": {
			as: anonymous, query: `query($no: Boolean!) { open me @include(if: $no) { name } greeting @skip(if: true) }`,
			variables: `{"no":false}`, calls: 1, want: `{"data":{"open":"sesame"}}`,
		},
		"a field that is included does": {
			as: anonymous, query: `query($yes: Boolean!) { open me @include(if: $yes) { name } }`,
			variables: `{"yes":true}`, calls: 1, never: "me",
			want: `{"errors":[` + unknown(`["me"]`) + `],"data":{"open":"sesame","me":null}}`,
		},
		"a field skipped in one place and not in another": {
			as: signedIn, query: `query($no: Boolean!) { me { ... @include(if: $no) { salary } salary @skip(if: $no) } }`,
			variables: `{"no":false}`, calls: 1, never: "salary",
			want: `{"errors":[` + lacks("salaries", `["me","salary"]`) + `],"data":{"me":{"salary":null}}}`,
		},
		"a variable of what is refused only": {
			as: anonymous, query: `query($id: ID!) { open person(id: $id) { salary } }`, variables: `{"id":"p1"}`, calls: 1, never: "salary",
			want: `{"errors":[` + unknown(`["person","salary"]`) + `],"data":{"open":"sesame","person":{"salary":null}}}`,
		},
		"entity of another subgraph": {
			as: signedIn, query: `{ me { name files { size } quota } }`, calls: 2, never: "files",
			want: `{"errors":[` + lacks("files", `["me","files"]`) + `],"data":{"me":{"name":"Ada","files":null,"quota":7}}}`,
		},
		"entity of another subgraph: no call": {
			as: signedIn, query: `{ me { name files { size } } }`, calls: 1, never: "files",
			want: `{"errors":[` + lacks("files", `["me","files"]`) + `],"data":{"me":{"name":"Ada","files":null}}}`,
		},
		"entity reached from the other side": {
			as: signedIn, query: `{ files { owner { salary } } }`, calls: 1, never: "salary",
			want: `{"errors":[` + lacks("salaries", `["files",0,"owner","salary"]`) + `],"data":{"files":[{"owner":{"salary":null}}]}}`,
		},
		"entity reached from the other side and on": {
			as: v.caller(0, "files"), query: `{ files { owner { name files { owner { code } } } } }`, never: "code", calls: 2,
			want: `{"errors":[` + lacks("codes", `["files",0,"owner","files",0,"owner","code"]`) +
				`],"data":{"files":[{"owner":{"name":"Ada","files":[{"owner":null}]}}]}}`,
		},
		"introspection goes on": {
			as: anonymous, query: `{ me { name } __type(name: "Bag") { name fields { name type { kind } } } }`,
			want: `{"errors":[` + unknown(`["me"]`) + `],"data":{"me":null,"__type":{"name":"Bag","fields":[` +
				`{"name":"id","type":{"kind":"NON_NULL"}},{"name":"label","type":{"kind":"SCALAR"}},{"name":"worth","type":{"kind":"SCALAR"}}]}}}`,
		},
		"mutation refused, the others run": {
			as: signedIn, query: `mutation { a: open spend(amount: 1) b: open store }`, calls: 3, never: "spend",
			want: `{"errors":[` + lacks("spend", `["spend"]`) + `],"data":{"a":1,"spend":null,"b":1,"store":5}}`,
		},
		"mutation refused alone": {
			as: anonymous, query: `mutation { mine: spend(amount: 1) }`,
			want: `{"errors":[` + unknown(`["mine"]`) + `],"data":{"mine":null}}`,
		},
		"one of several lists of scopes": {
			as: v.caller(0, "all", "root"), query: `mutation { wipe }`, calls: 1, want: `{"data":{"wipe":4}}`,
		},
		"half of a list of scopes": {
			as: v.caller(0, "root"), query: `mutation { wipe }`,
			want: `{"errors":[` + lacks("wipe", `["wipe"]`) + `],"data":{"wipe":null}}`,
		},
		"step up: recent": {
			as: v.caller(30 * time.Second), query: `mutation { sweep }`, calls: 1, want: `{"data":{"sweep":3}}`,
		},
		"step up: too old": {
			as: v.caller(2 * time.Minute), query: `mutation { s: sweep open }`, calls: 1, never: "sweep",
			want: `{"errors":[` + stale("60", `["s"]`) + `],"data":{"s":null,"open":1}}`,
		},
		"step up: anonymous": {
			as: anonymous, query: `mutation { sweep }`, want: `{"errors":[` + unknown(`["sweep"]`) + `],"data":{"sweep":null}}`,
		},
		"step up: the scope comes first": {
			as: v.caller(time.Hour), query: `mutation { wipe }`,
			want: `{"errors":[` + lacks("wipe", `["wipe"]`) + `],"data":{"wipe":null}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			body := `{"query":` + quoted(c.query) + `}`
			if c.variables != "" {
				body = `{"query":` + quoted(c.query) + `,"variables":` + c.variables + `}`
			}
			for range 2 { // planned, and found prepared
				wantBody(t, post(v.router, body, "Authorization", c.as), c.want)
				calls := v.queries()
				if len(calls) != c.calls {
					t.Errorf("%d calls, want %d: %q", len(calls), c.calls, calls)
				}
				if c.never != "" && strings.Contains(strings.Join(calls, " "), c.never) {
					t.Errorf("a subgraph was asked for %s: %q", c.never, calls)
				}
			}
		})
	}
}

// Where it cannot be told what a caller may do, nothing is fetched, even what
// takes no scope; what takes none at all goes on.
func TestScopesThatCannotBeTold(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	token := v.caller(0, "salaries")
	v.away = fault.Unavailable("permissions cannot be read")
	got := post(v.router, `{"query":"{ open me { salary } }"}`, "Authorization", token)
	wantError(t, got, fault.CodeUnavailable, "permissions cannot be read")
	if got.status != http.StatusServiceUnavailable || len(v.queries()) > 0 {
		t.Errorf("%d, %q", got.status, v.queries())
	}
	v.away = context.DeadlineExceeded
	got = post(v.router, `{"query":"mutation { open spend(amount: 1) }"}`, "Authorization", token)
	wantError(t, got, fault.CodeUnavailable, "")
	if len(v.queries()) > 0 || strings.Contains(got.body, "deadline") {
		t.Errorf("%s %q", got.body, v.queries())
	}
	wantBody(t, post(v.router, `{"query":"{ open me { name } }"}`, "Authorization", token), `{"data":{"open":"sesame","me":{"name":"Ada"}}}`)
}

// What a caller may do is asked anew for each request.
func TestScopesChangeWithTheNextRequest(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	token := v.caller(0)
	const body = `{"query":"{ me { salary } }"}`
	wantBody(t, post(v.router, body, "Authorization", token), `{"errors":[`+lacks("salaries", `["me","salary"]`)+`],"data":{"me":{"salary":null}}}`)
	v.hold(token, "salaries")
	wantBody(t, post(v.router, body, "Authorization", token), `{"data":{"me":{"salary":9}}}`)
	v.hold(token)
	wantBody(t, post(v.router, body, "Authorization", token), `{"errors":[`+lacks("salaries", `["me","salary"]`)+`],"data":{"me":{"salary":null}}}`)
	if v.asked != 3 {
		t.Errorf("scopes were asked for %d times", v.asked)
	}
}

// Without a way to tell, nobody holds a scope.
func TestWithoutScopes(t *testing.T) {
	t.Parallel()
	v := newVault(t, func(o *router.Options) { o.MissingScope = nil })
	wantBody(t, post(v.router, `{"query":"{ me { name salary } }"}`, "Authorization", v.caller(0)),
		`{"errors":[`+lacks("salaries", `["me","salary"]`)+`],"data":{"me":{"name":"Ada","salary":null}}}`)
}

func quoted(text string) string {
	out, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(out)
}
