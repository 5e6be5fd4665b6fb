package backing

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// What can go wrong, for errors.Is. The text of the error that Start returns is
// always one line that says what to do about it.
var (
	// ErrMissing means that a program or its user account is not installed.
	ErrMissing = errors.New("not installed")
	// ErrFolder means that the data folder cannot be used: unwritable,
	// unreachable, someone else's, or not ours.
	ErrFolder = errors.New("unusable folder")
	// ErrDiskFull means that there is not enough room for the data.
	ErrDiskFull = errors.New("disk full")
	// ErrLocked means that another running process holds the data folder.
	ErrLocked = errors.New("folder in use")
	// ErrSocketPath means that no folder is short enough for a unix socket.
	ErrSocketPath = errors.New("socket path too long")
	// ErrVersion means that another major version of PostgreSQL made the data.
	ErrVersion = errors.New("other PostgreSQL version")
	// ErrFailed means that a service did not start, or ended by itself.
	ErrFailed = errors.New("service failed")
)

// problem is an error with a one-line text of its own, a kind for errors.Is and
// perhaps a cause.
type problem struct {
	kind  error
	text  string
	cause error
}

func (p *problem) Error() string { return p.text }

func (p *problem) Unwrap() []error {
	if p.cause == nil {
		return []error{p.kind}
	}
	return []error{p.kind, p.cause}
}

func problemf(kind error, format string, args ...any) error {
	return &problem{kind: kind, text: fmt.Sprintf(format, args...)}
}

// folderProblem turns what the file system said about path into one line.
func folderProblem(path string, err error) error {
	var already *problem
	switch {
	case errors.As(err, &already):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &problem{ErrDiskFull, fmt.Sprintf("the disk of %s is full: free some space or choose another folder", path), err}
	case errors.Is(err, fs.ErrPermission):
		return &problem{ErrFolder, fmt.Sprintf("no permission to use %s: choose a folder that this user may write to", path), err}
	case errors.Is(err, syscall.EROFS):
		return &problem{ErrFolder, fmt.Sprintf("%s is on a read-only file system: choose another folder", path), err}
	case errors.Is(err, syscall.ENOTDIR):
		return &problem{ErrFolder, fmt.Sprintf("%s is not a folder: choose another one", path), err}
	}
	return &problem{ErrFolder, fmt.Sprintf("cannot use %s: %v", path, err), err}
}
