package graph_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/graph"
	"github.com/tradesage/tradesage/graph/router"
)

const recompose = "the composition is stale: run `make compose` and commit graph/supergraph.*"

// subgraphSDL joins each subgraph's files as graph/compose does.
func subgraphSDL(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "subgraphs", "*", "*.graphqls"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no subgraph schemas: %v", err)
	}
	slices.Sort(files)
	parts := map[string][]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(filepath.Dir(file))
		parts[name] = append(parts[name], string(text))
	}
	out := map[string]string{}
	for name, texts := range parts {
		out[name] = strings.Join(texts, "\n")
	}
	return out
}

func TestCompositionIsFresh(t *testing.T) {
	t.Parallel()
	var config struct {
		EngineConfig struct {
			DatasourceConfigurations []struct {
				ID            string
				CustomGraphql struct {
					Federation struct{ ServiceSdl string }
				}
			}
			GraphqlSchema       string
			GraphqlClientSchema string
		}
		Subgraphs []struct{ ID, Name, RoutingURL string }
	}
	if err := json.Unmarshal(graph.Supergraph, &config); err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, s := range config.Subgraphs {
		names[s.ID] = s.Name
		if want := "http://" + s.Name + ".internal/graphql"; s.RoutingURL != want {
			t.Errorf("subgraph %s is at %s, want the placeholder %s", s.Name, s.RoutingURL, want)
		}
	}
	composed := map[string]string{}
	for _, source := range config.EngineConfig.DatasourceConfigurations {
		composed[names[source.ID]] = source.CustomGraphql.Federation.ServiceSdl
	}
	if diff := cmp.Diff(subgraphSDL(t), composed); diff != "" {
		t.Errorf("%s (-subgraphs +supergraph.json):\n%s", recompose, diff)
	}
	schema := config.EngineConfig.GraphqlClientSchema
	if schema == "" {
		schema = config.EngineConfig.GraphqlSchema
	}
	_, text, _ := strings.Cut(graph.Schema, "\n\n") // after the banner
	if diff := cmp.Diff(strings.TrimSpace(schema), strings.TrimSpace(text)); diff != "" {
		t.Errorf("%s (-supergraph.json +supergraph.graphql):\n%s", recompose, diff)
	}
}

// The router takes the composition, with every subgraph in this process.
func TestRouterLoadsTheSupergraph(t *testing.T) {
	t.Parallel()
	local := map[string]router.LocalSubgraph{}
	for name := range maps.Keys(subgraphSDL(t)) {
		local[name] = nil
	}
	if _, err := router.New(t.Context(), router.Options{Config: graph.Supergraph, Local: local}); err != nil {
		t.Error(err)
	}
}
