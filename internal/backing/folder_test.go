package backing

import (
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// refused starts and wants an error of the kind: one line with all the hints.
func refused(t *testing.T, o Options, kind error, hints ...string) {
	t.Helper()
	o.Postgres, o.Redis = true, true
	s, err := Start(testContext(t), o)
	if err == nil {
		_ = s.Close()
		t.Fatal("it started")
	}
	checkProblem(t, err, kind, hints...)
}

func checkProblem(t *testing.T, err, kind error, hints ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("got %v, want %v", err, kind)
	}
	for _, hint := range hints {
		if !strings.Contains(err.Error(), hint) {
			t.Errorf("%q does not mention %q", err, hint)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
}

func TestSecondInstanceNamesTheFirst(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "data")
	start(t, Options{Dir: dir})
	refused(t, Options{Dir: dir}, ErrLocked, "pid "+strconv.Itoa(os.Getpid()), dir)
	checkProblem(t, Reset(testContext(t), dir, slog.New(slog.DiscardHandler)), ErrLocked)
}

func TestMissingPrograms(t *testing.T) {
	t.Parallel()
	nothing := t.TempDir()
	_, err := search{root: nothing, path: nothing}.postgresql()
	checkProblem(t, err, ErrMissing, "apt-get install postgresql-15")
	_, err = search{root: nothing, path: nothing}.redis()
	checkProblem(t, err, ErrMissing, "apt-get install redis-server")
	refused(t, Options{Temporary: true, search: &search{root: nothing, path: nothing}}, ErrMissing, "postgresql-15")
}

func TestOldPostgreSQLIsNotTaken(t *testing.T) {
	// Not in parallel: a program written while another test forks may be busy.
	root := t.TempDir()
	fake := func(version, says string) {
		bin := filepath.Join(root, version, "bin")
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"initdb", "postgres"} {
			script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + says + "'\n"
			if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	fake("13", "13.4 (Debian 13.4-1)")
	_, err := search{root: root}.postgresql()
	checkProblem(t, err, ErrMissing)
	for _, step := range []struct {
		version string
		want    int
	}{{"16", 16}, {"17", 17}, {"15", 15}} {
		fake(step.version, step.version+".1")
		got, err := search{root: root}.postgresql()
		if err != nil {
			t.Fatal(err)
		}
		if got.major != step.want {
			t.Errorf("with %s installed too it takes %d, want %d", step.version, got.major, step.want)
		}
	}
}

func TestUnreachableFolder(t *testing.T) {
	t.Parallel()
	private := filepath.Join(openDir(t), "home")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(private, "project", ".tradesage")
	if os.Geteuid() != 0 {
		if err := os.Chmod(private, 0o500); err != nil {
			t.Fatal(err)
		}
		refused(t, Options{Dir: dir}, ErrFolder, "no permission", "project")
		return
	}
	var lines strings.Builder
	s := start(t, Options{Dir: dir, Logger: told(&lines)})
	if !strings.HasPrefix(s.Dir(), fallbackRoot+"/") {
		t.Errorf("the data are in %s", s.Dir())
	}
	if n := strings.Count(lines.String(), "the data is kept in "+s.Dir()); n != 1 {
		t.Errorf("said %d times where the data are: %s", n, lines.String())
	}
	if _, err := os.Stat(filepath.Dir(dir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was made in the folder all the same: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Reset(testContext(t), dir, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the data stay: %v", err)
	}
}

func TestFolderOfSomethingElse(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	precious := filepath.Join(dir, "thesis.txt")
	if err := os.WriteFile(precious, []byte("…"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, Options{Dir: dir}, ErrFolder, "thesis.txt")
	checkProblem(t, Reset(testContext(t), dir, slog.New(slog.DiscardHandler)), ErrFolder, "not made by tradesage")
	refused(t, Options{Dir: precious}, ErrFolder, precious)
	refused(t, Options{}, ErrFolder)
	if _, err := os.Stat(precious); err != nil {
		t.Fatal(err)
	}
}

func TestResetStartsAnew(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "data")
	log := slog.New(slog.DiscardHandler)
	if err := Reset(testContext(t), dir, log); err != nil {
		t.Fatalf("no folder at all: %v", err)
	}
	first := start(t, Options{Dir: dir})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Reset(testContext(t), dir, log); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the folder stays: %v", err)
	}
	second := start(t, Options{Dir: dir})
	if first.SuperuserPassword() == second.SuperuserPassword() {
		t.Error("the new cluster has the old password")
	}
}

func TestDataOfAnotherVersion(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "data")
	if err := start(t, Options{Dir: dir}).Close(); err != nil {
		t.Fatal(err)
	}
	version := filepath.Join(dir, postgresDir, "PG_VERSION")
	if err := os.WriteFile(version, []byte("13\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, Options{Dir: dir}, ErrVersion, "PostgreSQL 13", "postgresql-13")
}

func TestFailedStartShowsPostgreSQLsOwnWords(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "data")
	if err := start(t, Options{Dir: dir}).Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, postgresDir, "global", "pg_control")); err != nil {
		t.Fatal(err)
	}
	refused(t, Options{Dir: dir}, ErrFailed, "could not", "pg_control", postgresLog)
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	checkProblem(t, checkRoom(t.TempDir(), math.MaxUint64), ErrDiskFull, "MB free", "needed")
	if err := checkRoom(t.TempDir(), 1); err != nil {
		t.Error(err)
	}
	err := explainLines("PostgreSQL", "/data", []string{
		"2026-01-02 03:04:05.678 UTC [42] LOG:  starting PostgreSQL 15.9",
		`2026-01-02 03:04:05.678 UTC [42] FATAL:  could not write to file "pg_wal/xlogtemp.42": No space left on device`,
		"2026-01-02 03:04:05.678 UTC [42] LOG:  database system is shut down",
	}, errors.New("exit status 1"))
	checkProblem(t, err, ErrDiskFull, "the disk of /data is full", "pg_wal/xlogtemp.42")
}

func TestRelevantLogLine(t *testing.T) {
	t.Parallel()
	for want, lines := range map[string]string{
		"FATAL:  bad thing": "2026-01-02 03:04:05.678 UTC [42] LOG:  a\n2026-01-02 03:04:05.678 UTC [42] FATAL:  bad thing\n2026-01-02 03:04:05.678 UTC [42] LOG:  shut down\n",
		`FATAL:  no role`:   "2026-01-02 03:04:05.678 UTC [42] jo@shop FATAL:  no role\n",
		"Bad file format reading the append only file": "77:M 02 Jan 2026 03:04:05.678 # Bad file format reading the append only file\n",
		"just a line": "\njust a line\n\n",
		"":            "",
	} {
		if got := relevant(strings.Split(lines, "\n")); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestLongPathsKeepTheirSocketsElsewhere(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), strings.Repeat("long/", 25), "data")
	s := start(t, Options{Dir: dir})
	if err := write(testContext(t), s, "reached"); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(s.PostgresSocketDir(), dir) || s.Dir() != dir {
		t.Errorf("sockets in %s, data in %s", s.PostgresSocketDir(), s.Dir())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.PostgresSocketDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the sockets' folder stays: %v", err)
	}
	f := &folder{path: dir, account: s.folder.account}
	checkProblem(t, f.openSockets("/"+strings.Repeat("x", maxSocketPath)), ErrSocketPath, "107 bytes")
}

func TestSweepTakesOnlyWhatIsDead(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	old := time.Now().Add(-time.Hour)
	add := func(name string, marked bool) string {
		path := filepath.Join(base, tempPrefix+name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if marked {
			if err := claim(path); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	age := func(path string) {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	dead := add("dead", true)
	age(dead)
	young := add("young", true)
	foreign := add("foreign", false)
	age(foreign)
	held := add("held", true)
	lock, err := lockNow(filepath.Join(held, lockName), held)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.unlock()
	age(held)
	sweep(base)
	for path, want := range map[string]bool{dead: false, young: true, foreign: true, held: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v, want it kept: %v", filepath.Base(path), err, want)
		}
	}
}

func TestTemplateIsMadeOnceAndCopied(t *testing.T) {
	// Its own cache: the environment is the process's, so not in parallel.
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	var lines strings.Builder
	start(t, Options{Temporary: true, Logger: told(&lines)})
	start(t, Options{Temporary: true, Logger: told(&lines)})
	if n := strings.Count(lines.String(), "making the template"); n != 1 {
		t.Errorf("the template was made %d times: %s", n, lines.String())
	}
}
