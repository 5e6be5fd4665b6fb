package main

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tradesage/tradesage/graph/router"
)

// supergraphPoll is how often the file is looked at. A file is read once it has
// stayed as it is from one look to the next: it may be half written.
const supergraphPoll = time.Second

// supergraphFile follows the file of the supergraph.
type supergraphFile struct {
	app     *app
	foreign *foreign
	// tried is what was last taken or refused, and state the file's state then.
	tried []byte
	state fileState
	// refused is why the file as it is now is not in force, if it is not.
	refused atomic.Pointer[string]
}

// fileState changes when a file does, also behind a symbolic link.
type fileState struct {
	size     int64
	modified time.Time
	inode    uint64
	missing  bool
}

func newSupergraphFile(a *app, foreign *foreign, text []byte) *supergraphFile {
	f := &supergraphFile{app: a, foreign: foreign, tried: text}
	f.state = f.look()
	return f
}

func (f *supergraphFile) look() fileState {
	info, err := os.Stat(f.app.config.Supergraph.File)
	if err != nil {
		return fileState{missing: true}
	}
	return fileState{size: info.Size(), modified: info.ModTime(), inode: inode(info)}
}

func inode(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Ino
	}
	return 0
}

// run takes changes up until ctx ends.
func (f *supergraphFile) run(ctx context.Context) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	tick := time.NewTicker(supergraphPoll)
	defer tick.Stop()
	seen := f.state
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
			f.app.logger.InfoContext(ctx, "asked to read the supergraph again")
			f.state = f.look()
			f.take(ctx, true)
		case <-tick.C:
			now := f.look()
			settled := now == seen
			if seen = now; !settled || now == f.state {
				continue
			}
			f.state = now
			f.take(ctx, false)
		}
	}
}

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
