// Command codegen runs gqlgen once for each subgraph: every folder of subgraphs/
// with a schema, or those named as arguments, by the one gqlgen.yml. Run it from
// the repository's root; a second run changes nothing.
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/api"
	"github.com/99designs/gqlgen/codegen/config"
)

func main() {
	log.SetOutput(io.Discard) // gqlgen tells of every resolver that it adds
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "codegen:", err)
		os.Exit(1)
	}
}

func run(only []string) error {
	settings, err := os.ReadFile("gqlgen.yml")
	if err != nil {
		return err
	}
	schemas, err := filepath.Glob("subgraphs/*/*.graphqls")
	if err != nil {
		return err
	}
	done := map[string]bool{}
	for _, schema := range schemas {
		name := filepath.Base(filepath.Dir(schema))
		if done[name] || len(only) > 0 && !slices.Contains(only, name) {
			continue
		}
		done[name] = true
		cfg, err := config.ReadConfig(strings.NewReader(strings.ReplaceAll(string(settings), "{subgraph}", name)))
		if err != nil {
			return fmt.Errorf("gqlgen.yml for %s: %w", name, err)
		}
		if err := api.Generate(cfg, api.AddPlugin(runtimeChecks{})); err != nil {
			return fmt.Errorf("subgraph %s: %w", name, err)
		}
	}
	return nil
}

// runtimeChecks undoes two defaults of gqlgen's federation plugin, which leaves
// them to the router: a subgraph checks @authenticated, @requiresScopes and the
// shape of entity representations itself, because it may be reached without the router.
type runtimeChecks struct{}

func (runtimeChecks) Name() string { return "runtimechecks" }

func (runtimeChecks) MutateConfig(cfg *config.Config) error {
	cfg.Directives["authenticated"] = config.DirectiveConfig{}
	cfg.Directives["requiresScopes"] = config.DirectiveConfig{}
	cfg.Models["_Any"] = config.TypeMapEntry{
		Model: config.StringList{"github.com/tradesage/tradesage/graph/subgraph.Representation"},
	}
	return nil
}
