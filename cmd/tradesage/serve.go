package main

import (
	"context"
	"os"
)

// serveCommand serves everything against databases that are there already.
type serveCommand struct {
	Config config `embed:""`
}

// Run serves until ctx ends.
func (s serveCommand) Run(ctx context.Context) error {
	c := s.Config
	if err := c.validate(); err != nil {
		return err
	}
	logger := c.logger(os.Stderr)
	listeners, err := listen(c.Listen, c.MetricsListen)
	if err != nil {
		return err
	}
	defer listeners.close()
	a, err := build(ctx, c, logger, modeServe)
	if err != nil {
		return err
	}
	defer a.close()
	return a.serve(ctx, listeners, func() {
		logger.InfoContext(ctx, "serving", "version", version, "public", c.Listen, "metrics", c.MetricsListen)
	})
}
