package main

import (
	"bytes"
	"context"
	"sync/atomic"

	"github.com/tradesage/tradesage/graph/router"
)

// supergraphFile follows the file of the supergraph.
type supergraphFile struct {
	app     *app
	foreign *foreign
	watch   *watch
	// tried is what was last taken or refused.
	tried []byte
	// refused is why the file as it is now is not in force, if it is not.
	refused atomic.Pointer[string]
}

// run takes changes up until ctx ends.
func (f *supergraphFile) run(ctx context.Context) error { return f.watch.follow(ctx, f.take) }

// take puts the file's supergraph in force, or says once why not. Without a change
// of its contents it does so only if it was asked to.
func (f *supergraphFile) take(ctx context.Context, asked bool) {
	text, composition, err := f.app.config.Supergraph.read()
	if err == nil {
		if bytes.Equal(text, f.tried) && !asked {
			return
		}
		f.tried = text
		var remotes map[string]router.Remote
		if remotes, err = f.foreign.remotes(composition); err == nil {
			err = f.app.router.Reload(ctx, text, remotes)
		}
	} else {
		f.tried = nil
		f.app.router.Refused()
	}
	if err != nil {
		f.app.logger.ErrorContext(ctx, "the supergraph file is refused, the former supergraph stays in force", "file", f.app.config.Supergraph.File, "error", err)
		why := "the file is refused, the former supergraph stays in force: see the log"
		f.refused.Store(&why)
		return
	}
	f.refused.Store(nil)
}

func (f *supergraphFile) check(context.Context) ([]string, error) {
	if why := f.refused.Load(); why != nil {
		return []string{*why}, nil
	}
	return nil, nil
}
