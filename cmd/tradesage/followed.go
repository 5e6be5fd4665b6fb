package main

import (
	"bytes"
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// followed is a file of the configuration that holds a T. Later states of it are put
// in force while the process serves; what is wrong with one is told in the log and in
// /readyz, and the former one stays.
type followed[T any] struct {
	// name is the file's in the log, stays what goes on with a state that is refused.
	name, stays string
	logger      *slog.Logger
	watch       *watch
	read        func() ([]byte, T, error)
	// put puts a later state in force, or fails and changes nothing.
	put func(context.Context, []byte, T) error
	// unread counts a state that did not get as far as put; nil for none.
	unread func()
	// reloads counts what became of changes, by result; nil where put does.
	reloads *prometheus.CounterVec

	inForce []byte
	// refused is whether the file as it is now is not in force.
	refused atomic.Bool
}

// open reads the file as it is now, which is in force from then on, and notes it
// before: no change after it is overlooked.
func (f *followed[T]) open(path string) (T, error) {
	f.watch = newWatch(path)
	text, state, err := f.read()
	f.inForce = text
	return state, err
}

// run takes changes up until ctx ends.
func (f *followed[T]) run(ctx context.Context) error { return f.watch.follow(ctx, f.take) }

// take puts the file in force, or says why not. What is in force already is put again
// only if it was asked for.
func (f *followed[T]) take(ctx context.Context, asked bool) {
	text, state, err := f.read()
	switch {
	case err != nil && f.unread != nil:
		f.unread()
	case err == nil && !asked && !f.refused.Load() && bytes.Equal(text, f.inForce):
		return
	case err == nil:
		err = f.put(ctx, text, state)
	}
	f.refused.Store(err != nil)
	f.count(err)
	if err != nil {
		f.logger.ErrorContext(ctx, "the "+f.name+" file is refused, "+f.stays, "file", f.watch.path, "error", err)
		return
	}
	f.inForce = text
}

// resultTaken and resultRefused are what becomes of a change.
const resultTaken, resultRefused = "taken", "refused"

// counted has a metric of what becomes of changes.
func (f *followed[T]) counted(registry prometheus.Registerer, metric, help string) error {
	f.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{Name: metric, Help: help}, []string{"result"})
	for _, result := range []string{resultTaken, resultRefused} {
		f.reloads.WithLabelValues(result) // from the start
	}
	return registry.Register(f.reloads)
}

func (f *followed[T]) count(err error) {
	switch {
	case f.reloads == nil:
	case err != nil:
		f.reloads.WithLabelValues(resultRefused).Inc()
	default:
		f.reloads.WithLabelValues(resultTaken).Inc()
	}
}

// check is for /readyz.
func (f *followed[T]) check(context.Context) ([]string, error) {
	if f.refused.Load() {
		return []string{"the file is refused, " + f.stays + ": see the log"}, nil
	}
	return nil, nil
}
