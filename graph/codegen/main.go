// Command codegen runs gqlgen once for each subgraph: every folder of subgraphs/
// with a schema, or those named as arguments, by the one gqlgen.yml. By the same
// settings it makes the subgraphs that cmd/bench measures, and from their
// supergraph the monolith that it measures them against, and for tests monoliths
// of whole client schemas. Run it from the repository's root; a second run changes
// nothing.
package main

import (
	"errors"
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

// family is a set of subgraphs: their folders and their domain packages.
type family struct{ folder, domain string }

var (
	product   = family{"subgraphs", "internal"}
	benchmark = family{"cmd/bench/graph", "cmd/bench/desk"}
)

// monolith is the folder of benchmark that serves its supergraph alone.
const monolith = "whole"

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
	for _, f := range []family{product, benchmark} {
		names, err := f.subgraphs()
		if err != nil {
			return err
		}
		for _, name := range names {
			if len(only) > 0 && !slices.Contains(only, name) {
				continue
			}
			if err := f.generate(string(settings), name); err != nil {
				return fmt.Errorf("subgraph %s: %w", name, err)
			}
		}
	}
	return generateMonoliths(only)
}

// subgraphs lists the folders with a schema.
func (f family) subgraphs() ([]string, error) {
	schemas, err := filepath.Glob(f.folder + "/*/*.graphqls")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, schema := range schemas {
		names = append(names, filepath.Base(filepath.Dir(schema)))
	}
	names = slices.Compact(names)
	if f == benchmark {
		names = append(names, monolith)
	}
	return names, nil
}

func (f family) generate(settings, name string) error {
	alone := f == benchmark && name == monolith
	schema := f.folder + "/" + name + "/*.graphqls"
	if alone {
		schema = f.folder + "/supergraph.graphql"
	}
	settings = strings.NewReplacer(
		"subgraphs/{subgraph}/*.graphqls", schema,
		"subgraphs/{subgraph}", f.folder+"/"+name,
		"internal/{subgraph}", f.domain+"/"+name,
		"{subgraph}", name,
	).Replace(settings)
	cfg, err := config.ReadConfig(strings.NewReader(settings))
	if err != nil {
		return fmt.Errorf("gqlgen.yml: %w", err)
	}
	if alone {
		cfg.Federation = config.PackageConfig{}
		return api.Generate(cfg)
	}
	lists, fields := &waiting{}, &plain{}
	if err := api.Generate(cfg, api.AddPlugin(runtimeChecks{}), api.AddPlugin(lists), api.AddPlugin(fields)); err != nil {
		return err
	}
	return errors.Join(lists.rewrite(), fields.rewrite())
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
