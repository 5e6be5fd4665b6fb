package router_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/identity"
)

// listen puts the vault behind a real listener.
func (v *vault) listen(t *testing.T) *liveShop {
	t.Helper()
	noGoroutineIsLeft(t)
	server := httptest.NewServer(v.router)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := v.router.Shutdown(ctx); err != nil {
			t.Errorf("connections are left at the end: %v", err)
		}
		server.Close()
	})
	return &liveShop{url: server.URL}
}

// await waits until so many subscriptions have reached the accounts.
func (v *vault) await(t *testing.T, n int) {
	t.Helper()
	eventually(t, "subscriptions", func() bool { return len(v.accounts.feed.list()) == n })
}

func (v *vault) tick(n int) {
	for _, f := range v.accounts.feed.list() {
		select {
		case f.happenings <- happening{value: object{
			"n": n, "note": "psst", "who": object{"id": "p1", "name": "Ada", "code": "x1"},
			"thing": object{"__typename": "Box", "id": "b1", "label": "box", "worth": 5},
		}}:
		case <-f.ended:
		}
	}
}

const tickQuery = `subscription { t: ticks { n note who { name files { size } } thing { id label } } }`

// What a caller may see of an event is asked at each event: what is withdrawn is
// gone with the next one, what is granted is there.
func TestScopesAtEachEvent(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	l, token := v.listen(t), v.caller(0)
	w, s := l.dial(t, token), l.stream(t, token, tickQuery)
	w.subscribe("s", tickQuery)
	v.await(t, 2)
	const seen = `{"data":{"t":{"n":2,"note":"psst","who":{"name":"Ada","files":[{"size":3}]},"thing":{"id":"b1","label":"box"}}}}`
	refused := func(n string) string {
		return `{"errors":[` + lacks("notes", `["t","note"]`) + `,` + lacks("files", `["t","who","files"]`) + `,` +
			lacks("labels", `["t","thing","label"]`) + `],"data":{"t":{"n":` + n + `,"note":null,"who":{"name":"Ada","files":null},"thing":{"id":"b1","label":null}}}}`
	}
	wantBoth := func(payload string) {
		t.Helper()
		w.want(`{"id":"s","type":"next","payload":` + payload + `}`)
		s.want(payload)
	}
	v.tick(1)
	wantBoth(refused("1"))
	if calls := v.files.Calls(); len(calls) > 0 {
		t.Errorf("files were asked: %v", calls)
	}
	v.hold(token, "notes", "files", "labels")
	v.tick(2)
	wantBoth(seen)
	v.hold(token)
	v.tick(3)
	wantBoth(refused("3"))
}

// A null that may not be one takes its parent with it, in an event as well.
func TestRefusedParentsOfEvents(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	l, token := v.listen(t), v.caller(0, "codes")
	w := l.dial(t, token)
	w.subscribe("s", `subscription { ticks { who { c: code } } }`)
	v.await(t, 1)
	v.tick(1)
	w.want(`{"id":"s","type":"next","payload":{"data":{"ticks":{"who":{"c":"x1"}}}}}`)
	v.hold(token)
	v.tick(2)
	w.want(`{"id":"s","type":"next","payload":{"errors":[` + lacks("codes", `["ticks","who","c"]`) + `],"data":{"ticks":{"who":null}}}}`)
}

// A subscription that is withdrawn ends with the reason, before the event is shown.
func TestASubscriptionIsWithdrawn(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	const query, reason = `subscription { secrets { n } }`, `[{"message":"this needs the permission ticks","extensions":{"code":"FORBIDDEN"}}]`
	l, token := v.listen(t), v.caller(0, "ticks")
	w, s := l.dial(t, token), l.stream(t, token, query)
	w.subscribe("s", query)
	v.await(t, 2)
	v.tick(1)
	w.want(`{"id":"s","type":"next","payload":{"data":{"secrets":{"n":1}}}}`)
	s.want(`{"data":{"secrets":{"n":1}}}`)
	v.hold(token)
	v.tick(2)
	w.want(`{"id":"s","type":"error","payload":` + reason + `}`)
	s.want(`{"errors":` + reason + `}`)
	s.wantComplete()
	v.await(t, 0)
	w.alive()
}

// What may not be subscribed to is never asked for.
func TestASubscriptionIsRefused(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	const query = `subscription { secrets { n } }`
	l, token := v.listen(t), v.caller(0)
	w, nobody := l.dial(t, token), l.dial(t, "")
	w.subscribe("s", query)
	w.want(`{"id":"s","type":"error","payload":[{"message":"this needs the permission ticks","extensions":{"code":"FORBIDDEN"}}]}`)
	nobody.subscribe("s", query)
	nobody.want(`{"id":"s","type":"error","payload":[{"message":"sign in first","extensions":{"code":"UNAUTHENTICATED"}}]}`)
	body := `{"query":` + quoted(query) + `}`
	for as, want := range map[string]int{token: http.StatusForbidden, "": http.StatusUnauthorized} {
		if got := post(v.router, body, "Accept", "text/event-stream", "Authorization", as); got.status != want {
			t.Errorf("%d %s, want %d", got.status, got.body, want)
		}
	}
	if calls := append(v.queries(), l.url); len(calls) != 1 || len(v.accounts.feed.list()) != 0 {
		t.Errorf("%q", calls)
	}
}

// To find nothing missing costs no allocation.
func BenchmarkRights(b *testing.B) {
	v := newVault(b, nil)
	token := v.caller(0, "salaries")
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "/graphql", http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Authorization", token)
	caller, err := v.authenticate(req)
	if err != nil {
		b.Fatal(err)
	}
	check := router.RightsCheck(v.router, `{ me { salary } }`)
	ctx := identity.NewContext(b.Context(), caller)
	b.ReportAllocs()
	for b.Loop() {
		if err := check(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
