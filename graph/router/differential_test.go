package router_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/graph/graphtest"
	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/identity"
)

// federated is a supergraph of a made-up world, asked in three ways.
type federated struct {
	world *graphtest.World
	whole *graphtest.Server
	ways  map[string]http.Handler
}

// newFederated serves a world for the subgraphs in a folder, one folder for each:
// by the router over subgraphs in this process, by the router over HTTP, and by one
// server that has all types. change alters the first.
func newFederated(tb testing.TB, seed uint64, mishaps bool, subgraphs, composition string, change ...func(*router.Options)) *federated {
	tb.Helper()
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(composition, name))
		if err != nil {
			tb.Fatal(err)
		}
		return text
	}
	sdls := map[string]string{}
	files, err := filepath.Glob(filepath.Join(subgraphs, "*", "*.graphqls"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("no schemas in %s: %v", subgraphs, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		sdls[filepath.Base(filepath.Dir(file))] += string(text) + "\n"
	}
	f := &federated{ways: map[string]http.Handler{}}
	if f.world, err = graphtest.NewWorld(seed, mishaps, sdls); err != nil {
		tb.Fatal(err)
	}
	if f.whole, err = f.world.Whole(string(read("supergraph.graphql"))); err != nil {
		tb.Fatal(err)
	}
	caller := &identity.Caller{
		Subject: uuid.New(), Session: uuid.New(), Tenant: dbtest.New(tb).Tenant(tb),
		AuthTime: time.Now(), Expires: time.Now().Add(time.Hour),
	}
	options := router.Options{
		Config: read("supergraph.json"), Logger: slog.New(slog.DiscardHandler),
		Authenticate: func(*http.Request) (*identity.Caller, error) { return caller, nil },
		MissingScope: everyScope,
		Limits:       router.Limits{MaxCost: 1 << 50, MaxFields: 1 << 20, MaxAliases: 1 << 20, MaxTokens: 1 << 20, MaxDepth: 1 << 10, MaxDirectives: 1 << 20, MaxRootFields: 1 << 20},
		Local:        map[string]router.LocalSubgraph{},
	}
	remote := options
	remote.Local, remote.Remote = nil, map[string]router.Remote{}
	for name := range sdls {
		options.Local[name] = f.world.Subgraph(name)
		server := httptest.NewServer(f.world.Subgraph(name))
		tb.Cleanup(server.Close)
		remote.Remote[name] = router.Remote{URL: server.URL}
	}
	for _, c := range change {
		c(&options)
	}
	f.ways["in one process"], f.ways["over HTTP"] = newRouter(tb, options), newRouter(tb, remote)
	return f
}

// outcome is what an answer says.
type outcome struct {
	Data   any
	Errors []outcomeError
}

type outcomeError struct {
	Path       []any
	Extensions struct{ Code string }
}

func outcomeOf(tb testing.TB, text string) outcome {
	tb.Helper()
	var out outcome
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&out); err != nil {
		tb.Fatalf("%v in %s", err, text)
	}
	return out
}

// sameErrors compares errors with those of who has all types. That one goes on when
// a null has swallowed what it does, the router need not: so each of the router's is
// one of the other's, and each of the other's is the router's or lies below the same
// null.
func sameErrors(want, got outcome) error {
	for _, g := range got.Errors {
		if !slices.ContainsFunc(want.Errors, g.is) {
			return fmt.Errorf("the router invents %v", g)
		}
	}
	for _, w := range want.Errors {
		cut := nullOn(want.Data, w.Path)
		if !slices.ContainsFunc(got.Errors, func(g outcomeError) bool {
			return w.is(g) || len(cut) < len(w.Path) && len(g.Path) >= len(cut) && fmt.Sprint(g.Path[:len(cut)]) == fmt.Sprint(cut)
		}) {
			return fmt.Errorf("the router lacks %v, whose null is at %v", w, cut)
		}
	}
	return nil
}

func (e outcomeError) is(other outcomeError) bool {
	return e.Extensions.Code == other.Extensions.Code && fmt.Sprint(e.Path) == fmt.Sprint(other.Path)
}

// nullOn is the part of a path that leads to the first null.
func nullOn(data any, path []any) []any {
	for i, step := range path {
		switch v := data.(type) {
		case nil:
			return path[:i]
		case map[string]any:
			data = v[step.(string)]
		case []any:
			n, err := step.(json.Number).Int64()
			if err != nil || int(n) >= len(v) {
				return path[:i]
			}
			data = v[n]
		}
	}
	return path
}

// agree asks an operation in all ways; each must answer as the server that has all
// types does.
func (f *federated) agree(t *testing.T, o graphtest.Operation, ways ...string) {
	t.Helper()
	for _, way := range ways {
		if f.disagreement(t, o, way) == "" {
			continue
		}
		small := graphtest.Shrink(f.whole.Schema(), o, func(o graphtest.Operation) bool { return f.disagreement(t, o, way) != "" })
		t.Errorf("%s: %s\nfound with:\n%s", way, f.disagreement(t, small, way), o.Body())
	}
}

// disagreement is how a way's answer differs from that of the server which has all
// types.
func (f *federated) disagreement(tb testing.TB, o graphtest.Operation, way string) string {
	tb.Helper()
	variables, err := json.Marshal(o.Variables)
	if err != nil {
		tb.Fatal(err)
	}
	whole := string(f.whole.Execute(tb.Context(), o.Text, "", variables))
	text := post(f.ways[way], o.Body()).body
	want, got := outcomeOf(tb, whole), outcomeOf(tb, text)
	diff, wrong := cmp.Diff(want.Data, got.Data), sameErrors(want, got)
	if diff == "" && wrong == nil {
		return ""
	}
	return fmt.Sprintf("%v\n%s\n%s\n(-whole +router):\n%s\nwhole:  %s\nrouter: %s", wrong, o.Text, variables, diff, whole, text)
}
