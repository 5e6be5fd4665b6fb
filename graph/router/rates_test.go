package router_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/ratelimit"
)

// rated serves the shop with rate limits over HTTP. Its clients say in X-Address
// where they are, as a trusted proxy would, and in Authorization who.
type rated struct {
	*shop
	server   *httptest.Server
	registry *prometheus.Registry
	callers  map[string]*identity.Caller
}

func policy(name string, quota int64) *ratelimit.Policy {
	return &ratelimit.Policy{Name: name, Quota: quota, Period: 24 * time.Hour, Exact: true}
}

func newRated(t *testing.T, change func(*router.Options)) *rated {
	t.Helper()
	env := dbtest.New(t)
	r := &rated{registry: prometheus.NewRegistry(), callers: map[string]*identity.Caller{}}
	for _, name := range []string{"ada@one", "bob@one", "cyd@two"} {
		r.callers[name] = &identity.Caller{Subject: uuid.New(), Session: uuid.New(), Expires: time.Now().Add(time.Hour)}
	}
	r.callers["ada@one"].Tenant = env.Tenant(t)
	r.callers["bob@one"].Tenant, r.callers["cyd@two"].Tenant = r.callers["ada@one"].Tenant, env.Tenant(t)
	limiter, err := ratelimit.New(ratelimit.Options{Redis: env.Redis, Prefix: env.Prefix + "rate:"})
	if err != nil {
		t.Fatal(err)
	}
	r.shop = newShop(t, func(s *shop) {
		s.options.Limiter, s.options.Metrics = limiter, r.registry
		s.options.Authenticate = func(req *http.Request) (*identity.Caller, error) {
			token := req.Header.Get("Authorization")
			if token == "bad" {
				return nil, fault.Unauthenticated("the token is not one of ours")
			}
			return r.callers[token], nil
		}
		change(&s.options)
	})
	proxies, err := identity.ParseProxies([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.router.ServeHTTP(w, proxies.WithClient(req))
	}))
	t.Cleanup(r.server.Close)
	return r
}

// ask sends a body and returns the status.
func (r *rated) ask(t *testing.T, body, token, address string) answer {
	t.Helper()
	return r.askAs(t, body, token, address)
}

// askAs is ask with more headers.
func (r *rated) askAs(t *testing.T, body, token, address string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.server.URL+"/graphql", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", token)
	req.Header.Set("X-Forwarded-For", address)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: string(text)}
}

const smallBody = `{"query":"{ me { id } }"}`

// allowed counts how many of n requests are answered, and checks the refusals.
func (r *rated) allowed(t *testing.T, n int, body, token, address string) (allowed int) {
	t.Helper()
	for range n {
		got := r.ask(t, body, token, address)
		if got.status != http.StatusTooManyRequests {
			allowed++
			continue
		}
		wantError(t, got, fault.CodeRateLimited, "too many requests")
		if wait, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || wait < 1 || !strings.Contains(got.body, fmt.Sprintf(`"retryAfter":%d`, wait)) {
			t.Errorf("Retry-After %q, %s", got.header.Get("Retry-After"), got.body)
		}
		name, _, _ := strings.Cut(got.header.Get("RateLimit"), ";r=0;t=")
		if name == "" || !strings.Contains(got.header.Get("RateLimit-Policy"), name+";q=") {
			t.Errorf("RateLimit %q, RateLimit-Policy %q", got.header.Get("RateLimit"), got.header.Get("RateLimit-Policy"))
		}
	}
	return allowed
}

func TestRatesByAddress(t *testing.T) {
	t.Parallel()
	r := newRated(t, func(o *router.Options) { o.Rates.IP = policy("ip", 5) })
	if n := r.allowed(t, 8, smallBody, "", "198.51.100.1"); n != 5 {
		t.Errorf("%d were answered, want 5", n)
	}
	if n := r.allowed(t, 2, smallBody, "", "198.51.100.2"); n != 2 {
		t.Errorf("another address: %d were answered", n)
	}
	if n := r.allowed(t, 8, smallBody, "", "203.0.113.9, 198.51.100.1"); n != 0 {
		t.Errorf("an address that the client itself claims is believed: %d were answered", n)
	}
	for i := range 8 {
		r.ask(t, smallBody, "", fmt.Sprintf("2001:db8::%d", i+1))
	}
	if n := r.allowed(t, 1, smallBody, "", "2001:db8::ffff"); n != 0 {
		t.Error("addresses of one network are counted apart")
	}
	if n := r.allowed(t, 8, smallBody, "ada@one", "198.51.100.1"); n != 8 {
		t.Errorf("who is signed in is counted by address: %d were answered", n)
	}
	// What is no operation counts, and so does a bad token.
	for address, send := range map[string][2]string{
		"198.51.100.3": {`{"query":`, ""}, "198.51.100.4": {`{"query":"{ nope }"}`, ""}, "198.51.100.5": {smallBody, "bad"},
	} {
		if n := r.allowed(t, 8, send[0], send[1], address); n != 5 {
			t.Errorf("%v: %d were answered, want 5", send, n)
		}
	}
	if n := metric(t, r.registry, "tradesage_router_limited_total", "default rate"); n < 15 {
		t.Errorf("%v refusals were counted", n)
	}
}

func TestRatesOfUsersAndTenants(t *testing.T) {
	t.Parallel()
	r := newRated(t, func(o *router.Options) {
		o.Rates = router.Rates{User: policy("user", 5), Tenant: policy("tenant", 8)}
	})
	got := r.ask(t, smallBody, "ada@one", "")
	if got.header.Get("RateLimit-Policy") != `"user";q=5;w=86400, "tenant";q=8;w=86400` ||
		!strings.HasPrefix(got.header.Get("RateLimit"), `"user";r=4;t=`) {
		t.Errorf("%v", got.header)
	}
	if n := r.allowed(t, 8, smallBody, "ada@one", "") + r.allowed(t, 8, smallBody, "bob@one", ""); n != 7 {
		t.Errorf("one tenant: %d more were answered, want 7", n)
	}
	if n := r.allowed(t, 8, smallBody, "cyd@two", ""); n != 5 {
		t.Errorf("another tenant: %d were answered, want 5", n)
	}
}

// The cost of operations is a budget beside their number.
func TestCostBudget(t *testing.T) {
	t.Parallel()
	r := newRated(t, func(o *router.Options) {
		o.Rates = router.Rates{UserCost: policy("user-cost", 1000), TenantCost: policy("tenant-cost", 1500)}
	})
	const dear = `{"query":"{ users { orders { reviews { stars } } } }"}` // 10 x (1 + 10 x (1 + 10)) = 1110
	if n := r.allowed(t, 3, dear, "ada@one", ""); n != 1 {
		t.Errorf("%d dear ones were answered, want 1", n)
	}
	if n := r.allowed(t, 3, smallBody, "ada@one", ""); n != 0 {
		t.Errorf("nothing is left, and %d were answered", n)
	}
	if n := r.allowed(t, 600, smallBody, "bob@one", ""); n != 390 {
		t.Errorf("the tenant had 390 left, and %d were answered", n)
	}
}

// Guesses are counted by the account that they are about, however it is written.
func TestFieldRates(t *testing.T) {
	t.Parallel()
	r := newRated(t, func(o *router.Options) {
		o.FieldRates = map[string]router.FieldRate{
			"rename": {IP: policy("secrets", 12), Value: policy("login", 3), Argument: "name"},
			"touch":  {User: policy("touch", 2)},
		}
	})
	ways := []string{
		`{"query":"mutation { rename(id: \"u1\", name: \"Ada@A.test\") { id } }"}`,
		`{"query":"mutation($n: String!) { rename(id: \"u1\", name: $n) { id } }","variables":{"n":" ada@a.TEST"}}`,
		`{"query":"mutation($n: String = \"ada@a.test\") { x: rename(id: \"u1\", name: $n) { id } }"}`,
		`{"query":"mutation { ...F } fragment F on Mutation { rename(id: \"u1\", name: \"ada@a.test\") { id } }"}`,
		`{"query":"mutation { ... @include(if: true) { rename(id: \"u1\", name: \"\\u0061da@a.test\") { id } } }"}`,
	}
	allowed := 0
	for _, body := range ways {
		allowed += r.allowed(t, 1, body, "", "198.51.100.1")
	}
	if allowed != 3 {
		t.Errorf("%d guesses were let through, want 3", allowed)
	}
	other := `{"query":"mutation($n: String!) { rename(id: \"u1\", name: $n) { id } }","variables":{"n":"n%d"}}`
	allowed = 0
	for i := range 12 {
		allowed += r.allowed(t, 1, fmt.Sprintf(other, i), "", "198.51.100.1")
	}
	if allowed != 9 {
		t.Errorf("%d more of one address were let through, want 9", allowed)
	}
	if n := r.allowed(t, 1, smallBody, "", "198.51.100.1"); n != 1 {
		t.Error("other fields are refused")
	}
	if n := r.allowed(t, 4, `{"query":"mutation { touch }"}`, "ada@one", ""); n != 2 {
		t.Errorf("%d of a user were let through, want 2", n)
	}
}

// Operations on a socket count like others; a client that goes on is cut off.
func TestRatesOnSockets(t *testing.T) {
	t.Parallel()
	r := newRated(t, func(o *router.Options) {
		o.Rates = router.Rates{User: policy("user", 3), Sockets: policy("sockets", 2)}
	})
	open := func() (*websocket.Conn, *http.Response, error) {
		return websocket.Dial(t.Context(), r.server.URL+"/graphql", &websocket.DialOptions{
			Subprotocols: []string{"graphql-transport-ws"}, HTTPHeader: http.Header{"Authorization": {"ada@one"}},
		})
	}
	conn, _, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	say := func(text string) {
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	say(`{"type":"connection_init"}`)
	counts := map[string]int{}
	for i := 0; ; i++ {
		_, text, err := conn.Read(t.Context())
		if err != nil {
			if code := websocket.CloseStatus(err); code != 4429 {
				t.Errorf("closed with %v", err)
			}
			break
		}
		switch {
		case strings.Contains(string(text), `"type":"next"`):
			counts["next"]++
			continue
		case strings.Contains(string(text), "RATE_LIMITED"):
			counts["refused"]++
		case strings.Contains(string(text), "INVALID_INPUT"):
			counts["invalid"]++
		}
		payload := smallBody
		if i == 0 {
			payload = `{}` // what is no operation counts too
		}
		say(fmt.Sprintf(`{"type":"subscribe","id":"%d","payload":%s}`, i, payload))
	}
	if counts["invalid"] != 1 || counts["next"] != 2 || counts["refused"] < 20 {
		t.Errorf("%v, want one error, 2 answers and 20 refusals", counts)
	}
	second, _, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.CloseNow() }()
	if _, resp, err := open(); err == nil || resp == nil || resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a third socket: %v %v", err, resp)
	}
}
