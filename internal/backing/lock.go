package backing

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// folderLock is a lock that the kernel lets go when its holder ends, so it is
// never stale. The file holds the holder's process id, for the message.
type folderLock struct{ file *os.File }

// lockNow takes the lock or says who has it.
func lockNow(path, what string) (*folderLock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, folderProblem(path, err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder := make([]byte, 20)
		n, _ := file.Read(holder)
		_ = file.Close()
		pid := strings.TrimSpace(string(holder[:n]))
		if pid == "" {
			pid = "unknown"
		}
		return nil, problemf(ErrLocked, "%s is in use by another tradesage (pid %s): stop it first or choose another folder", what, pid)
	}
	if err == nil {
		err = file.Truncate(0)
	}
	if err == nil {
		_, err = file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	if err != nil {
		_ = file.Close()
		return nil, folderProblem(path, err)
	}
	return &folderLock{file: file}, nil
}

// lockWait takes the lock, waiting for a holder that is expected to be quick.
func lockWait(ctx context.Context, path, what string) (*folderLock, error) {
	for {
		lock, err := lockNow(path, what)
		if !errors.Is(err, ErrLocked) {
			return lock, err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// unlock lets go explicitly: a close alone would wait for a fork in progress.
func (l *folderLock) unlock() {
	_ = unix.Flock(int(l.file.Fd()), unix.LOCK_UN)
	_ = l.file.Close()
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
