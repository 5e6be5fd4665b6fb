package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/identity"
)

// followLimits gives the router's options the classes of the limits file, and returns
// what follows its changes; nil without a file.
func (a *app) followLimits(options *router.Options, plan func(*identity.Caller) string) (*followed[limitsFile], error) {
	c := &a.config.Limits
	base := *options
	build := func(file limitsFile) router.Classification {
		all := base
		all.Classes = []router.Class{{Name: classAnonymous, Limits: router.Limits{MaxCost: c.AnonymousMaxCost}}}
		chosen := file.build(&all)
		chosen.plan, chosen.missing = plan, base.MissingScope
		return router.Classification{Classes: all.Classes, Classify: chosen.name, Caps: chosen.caps}
	}
	f := &followed[limitsFile]{name: "limits", stays: "the former limits stay in force", logger: a.logger, read: c.read}
	file, err := f.open(c.File)
	if err != nil {
		return nil, err
	}
	first := build(file)
	options.Classes, options.Classify, options.Concurrency.Of = first.Classes, first.Classify, first.Caps
	if c.File == "" {
		return nil, nil //nolint:nilnil // what is no file does not change
	}
	loaded := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tradesage_router_limits_loaded_timestamp_seconds", Help: "When the limits in force were read, in Unix time.",
	})
	loaded.SetToCurrentTime()
	counted := f.counted(a.registry, "tradesage_router_limits_reloads_total", "Changes of the limits file, by whether they were taken or refused.")
	if err := errors.Join(counted, a.registry.Register(loaded)); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	a.checks = append(a.checks, check{"limits", f.check, dispensable})
	f.put = func(ctx context.Context, _ []byte, file limitsFile) error {
		if err := a.router.SetClasses(build(file)); err != nil {
			return err
		}
		loaded.SetToCurrentTime()
		a.logger.InfoContext(ctx, "other limits are in force", "file", c.File, "plans", len(file.Plans), "classes", len(file.Classes))
		return nil
	}
	return f, nil
}

// read reads the limits file; without one there is nothing in it. The text is nil
// where it cannot be read.
func (c *limitsConfig) read() (text []byte, file limitsFile, err error) {
	if c.File == "" {
		return nil, file, nil
	}
	if text, err = os.ReadFile(c.File); err != nil {
		return nil, file, fmt.Errorf("TRADESAGE_LIMITS_FILE: %w", err)
	}
	if file, err = parseLimits(text); err != nil {
		return text, file, fmt.Errorf("TRADESAGE_LIMITS_FILE: %s: %w", c.File, err)
	}
	return text, file, nil
}
