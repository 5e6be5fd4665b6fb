package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/identity"
)

// limitsFollower follows the limits file.
type limitsFollower struct {
	app   *app
	watch *watch
	// build makes classes of a file.
	build func(limitsFile) router.Classification
	// tried is what was last taken or refused.
	tried   []byte
	reloads *prometheus.CounterVec
	loaded  prometheus.Gauge
	// refused is why the file as it is now is not in force, if it is not.
	refused atomic.Pointer[string]
}

// followLimits gives the router's options the classes of the limits file, and returns
// what follows its changes; nil without a file.
func (a *app) followLimits(options *router.Options, plan func(*identity.Caller) string) (*limitsFollower, error) {
	c := &a.config.Limits
	base := *options
	f := &limitsFollower{app: a, build: func(file limitsFile) router.Classification {
		all := base
		all.Classes = []router.Class{{Name: classAnonymous, Limits: router.Limits{MaxCost: c.AnonymousMaxCost}}}
		chosen := file.build(&all)
		chosen.plan, chosen.missing = plan, base.MissingScope
		return router.Classification{Classes: all.Classes, Classify: chosen.name, Caps: chosen.caps}
	}}
	if c.File != "" {
		f.watch = newWatch(c.File)
	}
	text, file, err := c.read()
	if err != nil {
		return nil, err
	}
	first := f.build(file)
	options.Classes, options.Classify, options.Concurrency.Of = first.Classes, first.Classify, first.Caps
	if c.File == "" {
		return nil, nil //nolint:nilnil // what is no file does not change
	}
	f.tried = text
	f.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tradesage_router_limits_reloads_total",
		Help: "Changes of the limits file, by whether they were taken or refused.",
	}, []string{"result"})
	f.loaded = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tradesage_router_limits_loaded_timestamp_seconds", Help: "When the limits in force were read, in Unix time.",
	})
	for _, result := range []string{"taken", "refused"} {
		f.reloads.WithLabelValues(result)
	}
	f.loaded.SetToCurrentTime()
	if err := errors.Join(a.registry.Register(f.reloads), a.registry.Register(f.loaded)); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	a.checks = append(a.checks, check{"limits", f.check, dispensable})
	return f, nil
}

func (f *limitsFollower) run(ctx context.Context) error { return f.watch.follow(ctx, f.take) }

// take puts the file's limits in force, or says once why not. Without a change of its
// contents it does so only if it was asked to.
func (f *limitsFollower) take(ctx context.Context, asked bool) {
	c := &f.app.config.Limits
	text, file, err := c.read()
	if err == nil && bytes.Equal(text, f.tried) && !asked {
		return
	}
	f.tried = text
	if err == nil {
		err = f.app.router.SetClasses(f.build(file))
	}
	if err != nil {
		f.reloads.WithLabelValues("refused").Inc()
		f.app.logger.ErrorContext(ctx, "the limits file is refused, the former limits stay in force", "file", c.File, "error", err)
		why := "the file is refused, the former limits stay in force: see the log"
		f.refused.Store(&why)
		return
	}
	f.refused.Store(nil)
	f.reloads.WithLabelValues("taken").Inc()
	f.loaded.SetToCurrentTime()
	f.app.logger.InfoContext(ctx, "other limits are in force", "file", c.File, "plans", len(file.Plans), "classes", len(file.Classes))
}

func (f *limitsFollower) check(context.Context) ([]string, error) {
	if why := f.refused.Load(); why != nil {
		return []string{*why}, nil
	}
	return nil, nil
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
