package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tradesage/tradesage/graph/persisted"
	"github.com/tradesage/tradesage/graph/router"
)

// operationsConfig says which operations clients may send.
type operationsConfig struct {
	Operations    string `name:"operations" env:"TRADESAGE_OPERATIONS" enum:",any,trusted" default:"any" help:"any, or trusted: only those of the manifest."`
	Manifest      string `name:"operations-manifest" env:"TRADESAGE_OPERATIONS_MANIFEST" type:"path" help:"JSON file of persisted operations, by their ids, as graphql-codegen or Apollo write it. It is read again when it changes."`
	FreeFormScope string `name:"free-form-scope" env:"TRADESAGE_FREE_FORM_SCOPE" default:"graph:free-form" help:"Scope whose holders may send any operation all the same."`
}

func (c *operationsConfig) validate() error {
	if c.Operations == "trusted" && c.Manifest == "" {
		return errors.New("TRADESAGE_OPERATIONS_MANIFEST: must be set where TRADESAGE_OPERATIONS is trusted")
	}
	_, err := c.manifest()
	return err
}

func (c *operationsConfig) trusted() router.Trusted {
	return router.Trusted{Only: c.Operations == "trusted", FreeForm: c.FreeFormScope}
}

// manifest reads the file, if there is one.
func (c *operationsConfig) manifest() (*persisted.Manifest, error) {
	if c.Manifest == "" {
		return nil, nil //nolint:nilnil // no manifest is no fault
	}
	text, err := os.ReadFile(c.Manifest)
	if err != nil {
		return nil, fmt.Errorf("TRADESAGE_OPERATIONS_MANIFEST: %w", err)
	}
	m, err := persisted.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("TRADESAGE_OPERATIONS_MANIFEST: %s: %w", c.Manifest, err)
	}
	return m, nil
}

// manifestEvery is how often the manifest is looked at.
const manifestEvery = 2 * time.Second

// persist gives the router its persisted operations, and new ones when the file
// changes. A file that is wrong then is logged, and the former operations stay.
func (a *app) persist(background context.Context) error {
	c := &a.config.Operations
	m, err := c.manifest()
	if err != nil || m == nil {
		return err
	}
	if err := a.router.SetManifest(background, m); err != nil {
		return fmt.Errorf("TRADESAGE_OPERATIONS_MANIFEST: %w", err)
	}
	stamp := c.stamp()
	a.run(background, "persisted operations", func(ctx context.Context) error {
		tick := time.NewTicker(manifestEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			now := c.stamp()
			if now == stamp {
				continue
			}
			stamp = now
			m, err := c.manifest()
			if err == nil {
				err = a.router.SetManifest(ctx, m)
			}
			if err != nil {
				a.logger.ErrorContext(ctx, "the manifest of persisted operations is not taken", "error", err)
				continue
			}
			a.logger.InfoContext(ctx, "the manifest of persisted operations has changed", "operations", len(m.All()))
		}
	})
	return nil
}

// stamp changes with the file.
func (c *operationsConfig) stamp() string {
	info, err := os.Stat(c.Manifest)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(info.Size(), info.ModTime().UnixNano())
}
