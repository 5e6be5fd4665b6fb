package backing

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The kernel keeps a socket's path in 108 bytes with a closing zero.
const maxSocketPath = 107

const (
	postgresSocket = ".s.PGSQL.5432"
	redisSocket    = "redis.sock"
)

// openSockets finds and makes the folder of the sockets: in the data folder, or
// where that path is too long, in a short one named after it.
func (f *folder) openSockets(shorter ...string) error {
	name := "tradesage-" + shortHash(f.path)
	candidates := []string{filepath.Join(f.path, "run")}
	for _, base := range shorter {
		candidates = append(candidates, filepath.Join(base, name))
	}
	var unusable error
	for _, dir := range candidates {
		// PostgreSQL's clients split their list of hosts at commas.
		if len(filepath.Join(dir, postgresSocket)) > maxSocketPath || strings.Contains(dir, ",") {
			continue
		}
		// Whoever else could make this folder first must not own our sockets.
		if err := f.account.makeFolder(dir); err != nil {
			unusable = err
			continue
		}
		if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a folder, for its owner alone
			return folderProblem(dir, err)
		}
		if !f.account.reaches(dir) {
			unusable = problemf(ErrFolder, "user %s cannot reach %s", f.account.name, dir)
			continue
		}
		f.sockets = dir
		return clearSockets(dir)
	}
	if unusable != nil {
		return unusable
	}
	return problemf(ErrSocketPath, "%s is too long a path for a unix socket (at most %d bytes), and so is the temporary folder: choose a shorter data folder",
		candidates[0], maxSocketPath)
}

// shortFolders are places for sockets whose own path is short.
func shortFolders(who account) []string {
	if who.drops {
		return []string{"/run", os.TempDir(), "/tmp"}
	}
	return []string{os.TempDir(), "/tmp"}
}

// clearSockets removes what a killed Redis left; PostgreSQL clears its own.
func clearSockets(dir string) error {
	err := os.Remove(filepath.Join(dir, redisSocket))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return folderProblem(dir, err)
	}
	return nil
}
