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
func (s serveCommand) Run(ctx context.Context, unknown strangerVariables) error {
	c := s.Config
	if err := c.validate(); err != nil {
		return err
	}
	logger := c.logger(os.Stderr)
	unknown.tell(ctx, logger)
	listeners, err := listen(c)
	if err != nil {
		return err
	}
	defer listeners.close()
	return serve(ctx, c, listeners, logger,
		func(ctx context.Context) (*app, error) { return build(ctx, c, logger, modeServe) },
		func() {
			logger.InfoContext(ctx, "serving", "version", version, "services", c.Parts.served(), "at", listeners.addresses())
		})
}
