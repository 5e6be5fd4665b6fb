// Command gen runs gqlgen for the test schema library.
package main

import (
	"log"

	"github.com/99designs/gqlgen/api"
	"github.com/99designs/gqlgen/codegen/config"
)

// directives makes gqlgen call @authenticated at run time, as graph/codegen does.
type directives struct{}

func (directives) Name() string { return "directives" }

func (directives) MutateConfig(cfg *config.Config) error {
	cfg.Directives["authenticated"] = config.DirectiveConfig{}
	return nil
}

func main() {
	cfg, err := config.LoadConfig("graph/subgraph/testdata/library/gqlgen.yml")
	if err != nil {
		log.Fatal(err)
	}
	if err := api.Generate(cfg, api.AddPlugin(directives{})); err != nil {
		log.Fatal(err)
	}
}
