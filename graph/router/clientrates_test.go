package router_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/tradesage/tradesage/graph/persisted"
	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/ratelimit"
)

// A program that has a name of its own is counted by it within the tenant; all
// others share one count, whatever they call themselves.
func TestRatesByClient(t *testing.T) {
	t.Parallel()
	r := newRated(t, func(o *router.Options) {
		o.Rates.User = policy("user", 20)
		o.ClientRates = router.ClientRates{
			Named: map[string]*ratelimit.Policy{"console": policy("client-console", 5), "free": nil},
			Other: policy("clients", 3),
		}
	})
	m, err := persisted.Parse([]byte(`{"format":"apollo-persisted-query-manifest","operations":[{"id":"me","body":"{ me { id } }","clientName":"reports"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.router.SetManifest(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, client, token, address string
		times, allowed               int
	}{
		{"a program with a rate", "console", "ada@one", "", 6, 5},
		{"another user of the tenant", "console", "bob@one", "", 2, 0},
		{"another tenant", "console", "cyd@two", "", 1, 1},
		{"one of the manifest", "reports", "ada@one", "", 4, 3},
		{"a name that nobody knows", "one", "ada@one", "", 2, 2},
		{"another such name", "two", "bob@one", "", 2, 1},
		{"no name", "", "bob@one", "", 1, 0},
		{"too long a name", strings.Repeat("x", 65), "bob@one", "", 1, 0},
		{"one that is off", "free", "bob@one", "", 4, 4},
		{"a name gains nothing", "free", "ada@one", "", 20, 10}, // the user's rate, by then
		{"nobody signed in", "console", "", "198.51.100.7", 6, 5},
		{"nobody signed in, elsewhere", "console", "", "198.51.100.8", 1, 1},
		{"the manifest's program, nobody signed in", "reports", "", "198.51.100.7", 4, 3},
	} {
		allowed := 0
		for range c.times {
			if got := r.askAs(t, smallBody, c.token, c.address, "Apollographql-Client-Name", c.client); got.status != http.StatusTooManyRequests {
				allowed++
			}
		}
		if allowed != c.allowed {
			t.Errorf("%s: %d of %d were answered, want %d", c.what, allowed, c.times, c.allowed)
		}
	}
	for name, want := range map[string]float64{"console": 16, "reports": 8, "free": 24, "other": 4, "": 2} {
		if got := metric(t, r.registry, "tradesage_router_client_requests_total", name); got != want {
			t.Errorf("%q: %v requests, want %v", name, got, want)
		}
	}
}

// A browser says the name in its greeting.
func TestRatesByClientOnASocket(t *testing.T) {
	t.Parallel()
	r := newRated(t, func(o *router.Options) {
		o.ClientRates = router.ClientRates{Named: map[string]*ratelimit.Policy{"console": policy("client-console", 2)}}
	})
	conn, _, err := websocket.Dial(t.Context(), strings.Replace(r.server.URL, "http", "ws", 1), &websocket.DialOptions{
		Subprotocols: []string{"graphql-transport-ws"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	say := func(text string) {
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	say(`{"type":"connection_init","payload":{"authorization":"ada@one","clientName":"console"}}`)
	var got []string
	for i := 0; len(got) < 3; {
		_, text, err := conn.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.Contains(string(text), `"next"`):
			got = append(got, "next")
		case strings.Contains(string(text), `RATE_LIMITED`):
			got = append(got, "refused")
		case strings.Contains(string(text), `"complete"`):
			continue
		}
		i++
		say(`{"type":"subscribe","id":"` + strings.Repeat("a", i) + `","payload":` + smallBody + `}`)
	}
	if strings.Join(got, " ") != "next next refused" {
		t.Errorf("%v", got)
	}
}
