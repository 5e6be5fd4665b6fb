package backing

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	wantMajor = 15
	// minMajor is the oldest PostgreSQL that the schemas work with.
	minMajor = 15
)

// search says where programs are looked for.
type search struct {
	// root holds one folder a PostgreSQL version, as Debian lays them out.
	root string
	// path is a list of folders like the environment variable PATH.
	path string
}

func defaultSearch() search {
	return search{root: "/usr/lib/postgresql", path: os.Getenv("PATH") + ":/usr/local/bin:/usr/bin:/usr/sbin"}
}

// postgresql is an installed PostgreSQL.
type postgresql struct {
	bin     string // folder of initdb and postgres
	version string // as the program tells it, "postgres (PostgreSQL) 15.9 …"
	major   int
}

var versionNumber = regexp.MustCompile(`PostgreSQL\) (\d+)`)

// postgresql finds major version 15, or else the newest later one.
func (s search) postgresql() (postgresql, error) {
	folders, _ := filepath.Glob(filepath.Join(s.root, "*", "bin")) // the pattern is well-formed
	folders = append(folders, filepath.SplitList(s.path)...)
	var best postgresql
	for _, bin := range folders {
		if !filepath.IsAbs(bin) {
			continue // an empty or relative entry of PATH is a trap
		}
		found, ok := inspect(bin)
		if !ok {
			continue
		}
		if found.major == wantMajor {
			return found, nil
		}
		if found.major > best.major {
			best = found
		}
	}
	if best.major < minMajor {
		return postgresql{}, problemf(ErrMissing, "PostgreSQL %d is not installed (looked in %s/*/bin and PATH): apt-get install postgresql-%d",
			wantMajor, s.root, wantMajor)
	}
	return best, nil
}

func inspect(bin string) (postgresql, bool) {
	for _, program := range []string{"initdb", "postgres"} {
		if !executable(filepath.Join(bin, program)) {
			return postgresql{}, false
		}
	}
	out, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output() //nolint:gosec // found in a program folder
	if err != nil {
		return postgresql{}, false
	}
	match := versionNumber.FindSubmatch(out)
	if match == nil {
		return postgresql{}, false
	}
	major, err := strconv.Atoi(string(match[1]))
	return postgresql{bin: bin, version: strings.TrimSpace(string(out)), major: major}, err == nil
}

// redis finds redis-server.
func (s search) redis() (string, error) {
	folders := filepath.SplitList(s.path)
	i := slices.IndexFunc(folders, func(dir string) bool { return executable(filepath.Join(dir, "redis-server")) })
	if i < 0 {
		return "", problemf(ErrMissing, "redis-server is not installed (looked in PATH): apt-get install redis-server")
	}
	return filepath.Join(folders[i], "redis-server"), nil
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
