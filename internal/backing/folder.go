package backing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// markerName is the file that says that a folder is ours to fill and remove.
	markerName = "TRADESAGE_DATA"
	markerText = "Made by tradesage; `tradesage dev --reset` removes this folder.\n"
	lockName   = "lock"
	// tempPrefix begins the names of temporary data folders.
	tempPrefix = "tradesage-test-"
	// minFree is the room that a new cluster and a little work need.
	minFree = 200 << 20
)

// fallbackRoot is where root keeps the data of folders that the user postgres
// cannot reach.
const fallbackRoot = "/var/lib/tradesage"

// folder is a data folder in use: locked, marked, and reachable for the account.
type folder struct {
	path    string
	account account
	lock    *folderLock
	sockets string
	// temporary folders go away with the services.
	temporary bool
}

// effective is the folder that really holds the data of dir: dir itself, or a
// place under fallbackRoot where the account cannot reach dir.
func effective(dir string, who account) (path string, fellBack bool, err error) {
	if dir == "" {
		return "", false, problemf(ErrFolder, "no data folder was named")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", false, folderProblem(dir, err)
	}
	// A folder that does not exist yet is as reachable as the nearest that does.
	existing, rest := abs, ""
	for {
		resolved, err := filepath.EvalSymlinks(existing)
		if err == nil {
			existing = resolved
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || existing == "/" {
			return "", false, folderProblem(abs, err)
		}
		rest = filepath.Join(filepath.Base(existing), rest)
		existing = filepath.Dir(existing)
	}
	abs = filepath.Join(existing, rest)
	if info, err := os.Stat(existing); err != nil || !info.IsDir() {
		return "", false, problemf(ErrFolder, "%s is not a folder: choose another one", existing)
	}
	if who.reaches(existing) {
		return abs, false, nil
	}
	return filepath.Join(fallbackRoot, shortHash(abs)), true, nil
}

// openFolder makes or reopens a named data folder and locks it.
func openFolder(dir string, who account, log *slog.Logger) (*folder, error) {
	path, fellBack, err := effective(dir, who)
	if err != nil {
		return nil, err
	}
	if fellBack {
		log.Warn("user " + who.name + " cannot reach " + dir + ": the data is kept in " + path)
	}
	if err := makePath(path, who); err != nil {
		return nil, err
	}
	if !who.reaches(path) {
		return nil, problemf(ErrFolder, "user %s cannot reach %s: let others enter the folders above it (chmod o+x)", who.name, path)
	}
	if err := claim(path); err != nil {
		return nil, err
	}
	lock, err := lockNow(filepath.Join(path, lockName), path)
	if err != nil {
		return nil, err
	}
	return &folder{path: path, account: who, lock: lock}, nil
}

// makePath makes the folder and those above it; for root, folders that others
// may pass through, since the account's lie inside.
func makePath(path string, who account) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	mode := fs.FileMode(0o700)
	if who.drops {
		mode = 0o711
	}
	if parent := filepath.Dir(path); parent != path {
		if err := makePath(parent, who); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return folderProblem(path, err)
	}
	// Against a strict umask.
	if err := os.Chmod(path, mode); err != nil {
		return folderProblem(path, err)
	}
	return nil
}

// claim marks an empty folder as ours and refuses one with other contents.
func claim(path string) error {
	marker := filepath.Join(path, markerName)
	_, err := os.Stat(marker)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return folderProblem(path, err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return folderProblem(path, err)
	}
	for _, entry := range entries {
		if entry.Name() != lockName && entry.Name() != markerName {
			return problemf(ErrFolder, "%s holds files that tradesage did not make (%s): choose an empty folder", path, entry.Name())
		}
	}
	if err := os.WriteFile(marker, []byte(markerText), 0o644); err != nil { //nolint:gosec // says nothing secret
		return folderProblem(path, err)
	}
	return nil
}

// openTemporary makes a fresh folder that the account reaches, and clears away
// those that killed processes left behind.
func openTemporary(who account) (*folder, error) {
	var lastErr error
	for _, base := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		if !who.reaches(base) {
			lastErr = problemf(ErrFolder, "user %s cannot reach %s: set TMPDIR to a folder that every user may enter", who.name, base)
			continue
		}
		sweep(base)
		path, err := os.MkdirTemp(base, tempPrefix)
		if err != nil {
			lastErr = folderProblem(base, err)
			continue
		}
		lock, err := lockNow(filepath.Join(path, lockName), path)
		if err == nil && who.drops {
			err = os.Chmod(path, 0o711) //nolint:gosec // a folder that the account passes through
		}
		if err == nil {
			err = claim(path)
		}
		if err != nil {
			_ = os.RemoveAll(path)
			return nil, folderProblem(path, err)
		}
		return &folder{path: path, account: who, lock: lock, temporary: true}, nil
	}
	return nil, lastErr
}

// sweep removes temporary folders whose process is gone. Young ones are left
// alone: they may not be locked yet, or their services are still ending.
func sweep(base string) {
	stale, _ := filepath.Glob(filepath.Join(base, tempPrefix+"*")) // the pattern is well-formed
	for _, path := range stale {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		if _, err := os.Lstat(filepath.Join(path, markerName)); err != nil {
			continue
		}
		lock, err := lockNow(filepath.Join(path, lockName), path)
		if err != nil {
			continue
		}
		// Two sweepers may meet; whoever comes second finds nothing.
		_ = os.RemoveAll(path)
		lock.unlock()
	}
}

// close lets the folder go and removes it if it was temporary.
func (f *folder) close() error {
	var err error
	if f.sockets != "" && filepath.Dir(f.sockets) != f.path {
		err = os.RemoveAll(f.sockets)
	}
	if f.temporary {
		err = errors.Join(err, os.RemoveAll(f.path))
	}
	f.lock.unlock()
	return err
}

// checkRoom says so when the disk of path has less than need bytes free.
func checkRoom(path string, need uint64) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return folderProblem(path, err)
	}
	free := stat.Bavail * uint64(stat.Bsize)
	if free < need {
		return problemf(ErrDiskFull, "the disk of %s has %d MB free and %d MB are needed: free some space or choose another folder",
			path, free>>20, need>>20)
	}
	return nil
}

// Reset removes the data that Start keeps for dir. It refuses a folder that
// Start did not make or that is in use; no folder at all is fine.
func Reset(ctx context.Context, dir string, log *slog.Logger) error {
	who, err := childAccount()
	if err != nil {
		return err
	}
	path, _, err := effective(dir, who)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return folderProblem(path, err)
	}
	if info, err := os.Lstat(filepath.Join(path, markerName)); err != nil || !info.Mode().IsRegular() {
		return problemf(ErrFolder, "%s was not made by tradesage (no file %s in it): remove it by hand if you mean to", path, markerName)
	}
	lock, err := lockNow(filepath.Join(path, lockName), path)
	if err != nil {
		return err
	}
	defer lock.unlock()
	if err := awaitEarlier(ctx, path, log); err != nil {
		return err
	}
	// The marker goes last but for the folder, so that a reset cut short can be
	// repeated.
	for _, entry := range entries {
		if entry.Name() == markerName || entry.Name() == lockName {
			continue
		}
		if err := os.RemoveAll(filepath.Join(path, entry.Name())); err != nil {
			return folderProblem(path, err)
		}
	}
	if err := os.RemoveAll(path); err != nil {
		return folderProblem(path, err)
	}
	log.Info("removed the data in " + path)
	return nil
}

func shortHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}
