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
// server that has all types.
func newFederated(tb testing.TB, seed uint64, mishaps bool, subgraphs, composition string) *federated {
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
		Subject: uuid.New(), Session: uuid.New(), Tenant: dbtest.New(tb.(*testing.T)).Tenant(tb.(*testing.T)),
		AuthTime: time.Now(), Expires: time.Now().Add(time.Hour),
	}
	options := router.Options{
		Config: read("supergraph.json"), Logger: slog.New(slog.DiscardHandler),
		Authenticate: func(*http.Request) (*identity.Caller, error) { return caller, nil },
		MissingScope: everyScope,
		Limits:       router.Limits{MaxCost: 1 << 50, MaxFields: 1 << 20, MaxAliases: 1 << 20, MaxTokens: 1 << 20, MaxDepth: 1 << 10},
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
	f.ways["in one process"], f.ways["over HTTP"] = newRouter(tb, options), newRouter(tb, remote)
	return f
}

// outcome is what an answer says: the data as it is, and where errors are.
type outcome struct {
	Data   any
	Errors []string
}

func outcomeOf(tb testing.TB, text string) outcome {
	tb.Helper()
	var body struct {
		Data   any
		Errors []struct {
			Message    string
			Path       []any
			Extensions struct{ Code string }
		}
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&body); err != nil {
		tb.Fatalf("%v in %s", err, text)
	}
	out := outcome{Data: body.Data}
	for _, e := range body.Errors {
		for i, element := range e.Path { // XXX
			if _, ok := element.(json.Number); ok {
				e.Path[i] = "@"
			}
		}
		out.Errors = append(out.Errors, fmt.Sprintf("%v %s", e.Path, e.Extensions.Code))
	}
	slices.Sort(out.Errors)
	out.Errors = slices.Compact(out.Errors)
	return out
}

// agree asks an operation in all ways; each must answer as the server that has all
// types does.
func (f *federated) agree(t *testing.T, o graphtest.Operation, ways ...string) {
	t.Helper()
	variables, err := json.Marshal(o.Variables)
	if err != nil {
		t.Fatal(err)
	}
	want := outcomeOf(t, string(f.whole.Execute(t.Context(), o.Text, "", variables)))
	for _, way := range ways {
		text := post(f.ways[way], o.Body()).body
		got := outcomeOf(t, text)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s, %s\n%s\n(-whole +router):\n%s\n%s", way, o.Text, variables, diff, text)
		}
	}
}
