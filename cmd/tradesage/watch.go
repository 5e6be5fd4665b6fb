package main

import (
	"context"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// watchEvery is how often a followed file is looked at. It is read once it has stayed
// as it is from one look to the next: it may be half written.
const watchEvery = time.Second

// watch follows a file of the configuration.
type watch struct {
	path string
	// state is the file's when it was last read.
	state fileState
}

// fileState changes when a file does, also behind a symbolic link.
type fileState struct {
	size     int64
	modified time.Time
	inode    uint64
	missing  bool
}

// newWatch notes the file as it is now: make it before the file is read.
func newWatch(path string) *watch {
	w := &watch{path: path}
	w.state = w.look()
	return w
}

func (w *watch) look() fileState {
	info, err := os.Stat(w.path)
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

// follow calls take when the file has changed, and at once, as asked, on SIGHUP; until
// ctx ends.
func (w *watch) follow(ctx context.Context, take func(ctx context.Context, asked bool)) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	seen := w.state
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
			w.state = w.look()
			take(ctx, true)
		case <-tick.C:
			now := w.look()
			settled := now == seen
			if seen = now; !settled || now == w.state {
				continue
			}
			w.state = now
			take(ctx, false)
		}
	}
}
