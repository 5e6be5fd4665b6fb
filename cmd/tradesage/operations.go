package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tradesage/tradesage/graph/persisted"
	"github.com/tradesage/tradesage/graph/persisted/automatic"
	"github.com/tradesage/tradesage/graph/router"
)

// operationsConfig says which operations clients may send.
type operationsConfig struct {
	Operations         string        `name:"operations" env:"TRADESAGE_OPERATIONS" enum:",any,trusted" default:"any" help:"any, or trusted: only those of the manifest."`
	Manifest           string        `name:"operations-manifest" env:"TRADESAGE_OPERATIONS_MANIFEST" type:"path" help:"JSON file of persisted operations, by their ids, as graphql-codegen or Apollo write it. It is read again when it changes."`
	Automatic          bool          `name:"automatic-persisted-queries" env:"TRADESAGE_AUTOMATIC_PERSISTED_QUERIES" help:"Keep operations that clients send with their SHA-256, for their tenant, so that they may send the hash alone afterwards. Not with TRADESAGE_OPERATIONS=trusted."`
	AutomaticTTL       time.Duration `name:"automatic-ttl" env:"TRADESAGE_AUTOMATIC_TTL" default:"24h" help:"How long they are kept for a tenant that registers no more, 1m to 720h."`
	AutomaticPerTenant int           `name:"automatic-per-tenant" env:"TRADESAGE_AUTOMATIC_PER_TENANT" default:"1000" help:"Most of them of one tenant, of 16 KiB each at most; who is not signed in is one tenant together."`
	AutomaticMemory    int64         `name:"automatic-memory" env:"TRADESAGE_AUTOMATIC_MEMORY" default:"16777216" help:"Bytes of them that a process keeps in memory."`
	FreeFormScope      string        `name:"free-form-scope" env:"TRADESAGE_FREE_FORM_SCOPE" default:"graph:free-form" help:"Scope whose holders may send any operation all the same."`
}

func (c *operationsConfig) validate() error {
	if c.Operations == "trusted" && c.Manifest == "" {
		return errors.New("TRADESAGE_OPERATIONS_MANIFEST: must be set where TRADESAGE_OPERATIONS is trusted")
	}
	_, _, err := c.manifest()
	return errors.Join(c.validateAutomatic(), err)
}

func (c *operationsConfig) validateAutomatic() error {
	switch {
	case !c.Automatic:
		return nil
	case c.Operations == "trusted":
		return errors.New("TRADESAGE_AUTOMATIC_PERSISTED_QUERIES: cannot be where TRADESAGE_OPERATIONS is trusted: clients would add to what is trusted")
	case c.AutomaticTTL < time.Minute || c.AutomaticTTL > 720*time.Hour:
		return fmt.Errorf("TRADESAGE_AUTOMATIC_TTL: %s is not between 1m and 720h", c.AutomaticTTL)
	case c.AutomaticPerTenant < 1 || c.AutomaticPerTenant > 100_000:
		return fmt.Errorf("TRADESAGE_AUTOMATIC_PER_TENANT: %d is not between 1 and 100,000", c.AutomaticPerTenant)
	case c.AutomaticMemory < 1<<20:
		return fmt.Errorf("TRADESAGE_AUTOMATIC_MEMORY: %d is less than 1 MiB", c.AutomaticMemory)
	}
	return nil
}

// automatic opens what keeps clients' operations; nil where none is kept.
func (a *app) automatic() (*automatic.Store, error) {
	c := &a.config.Operations
	if !c.Automatic {
		return nil, nil //nolint:nilnil // it is off
	}
	options := automatic.Options{
		TTL: c.AutomaticTTL, PerTenant: c.AutomaticPerTenant, MemoryBytes: uint64(c.AutomaticMemory),
		Logger: a.logger, Metrics: a.registry,
	}
	if a.redis != nil {
		options.Redis = a.redis
	}
	return automatic.New(options)
}

func (c *operationsConfig) trusted() router.Trusted {
	return router.Trusted{Only: c.Operations == "trusted", FreeForm: c.FreeFormScope}
}

// manifest reads the file, if there is one.
func (c *operationsConfig) manifest() ([]byte, *persisted.Manifest, error) {
	if c.Manifest == "" {
		return nil, nil, nil
	}
	text, err := os.ReadFile(c.Manifest)
	if err != nil {
		return nil, nil, fmt.Errorf("TRADESAGE_OPERATIONS_MANIFEST: %w", err)
	}
	m, err := persisted.Parse(text)
	if err != nil {
		return nil, nil, fmt.Errorf("TRADESAGE_OPERATIONS_MANIFEST: %s: %w", c.Manifest, err)
	}
	return text, m, nil
}

// persist gives the router its persisted operations, and new ones when the file
// changes.
func (a *app) persist(background context.Context) error {
	c := &a.config.Operations
	f := &followed[*persisted.Manifest]{name: "operations", stays: "the former operations stay in force", logger: a.logger, read: c.manifest}
	m, err := f.open(c.Manifest)
	if err != nil || m == nil {
		return err
	}
	if err := a.router.SetManifest(background, m); err != nil {
		return fmt.Errorf("TRADESAGE_OPERATIONS_MANIFEST: %w", err)
	}
	err = f.counted(a.registry, "tradesage_router_operations_reloads_total", "Changes of the manifest of persisted operations, by whether they were taken or refused.")
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	f.put = func(ctx context.Context, _ []byte, m *persisted.Manifest) error {
		if err := a.router.SetManifest(ctx, m); err != nil {
			return err
		}
		a.logger.InfoContext(ctx, "the manifest of persisted operations has changed", "operations", len(m.All()))
		return nil
	}
	a.checks = append(a.checks, check{"operations", func(ctx context.Context) ([]string, error) {
		refused, err := f.check(ctx)
		return append(refused, a.unfitOperations()...), err
	}, dispensable})
	a.run(background, "persisted operations", f.run)
	return nil
}

// unfitOperations names the persisted operations that cannot run any more.
func (a *app) unfitOperations() []string {
	unfit := a.router.UnfitOperations()
	const most = 5
	if len(unfit) > most {
		unfit = append(unfit[:most:most], fmt.Sprintf("%d more", len(unfit)-most))
	}
	if len(unfit) == 0 {
		return nil
	}
	return []string{"persisted operations are not valid in the supergraph in force: " + strings.Join(unfit, ", ")}
}
