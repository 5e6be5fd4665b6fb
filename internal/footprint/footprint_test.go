package footprint

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func TestPercent(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	for _, c := range []struct {
		used uint64
		want int64
	}{
		{0, 400}, {10 * mb, 400}, {32 * mb, 400}, {64 * mb, 200}, {128 * mb, 100}, {160 * mb, 64}, {200 * mb, 40},
		{1000 * mb, 25}, {1 << 63, 25},
	} {
		if got := Percent(128*mb, c.used); got != c.want {
			t.Errorf("with %d MB in use: %d %%, want %d", c.used/mb, got, c.want)
		}
	}
}

func TestContainer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, text string
		want       int64
	}{
		"version 2":            {"memory.max", "1000000\n", 900000},
		"version 2, unbounded": {"memory.max", "max\n", 0},
		"version 1":            {"memory/memory.limit_in_bytes", "2000000\n", 1800000},
		"version 1, unbounded": {"memory/memory.limit_in_bytes", "9223372036854771712\n", 0},
		"no control groups":    {"other", "", 0},
	} {
		root := t.TempDir()
		path := filepath.Join(root, c.file)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := container(root); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// A process that uses much collects more often, and less often when it no longer
// does. It changes the collector of all tests of this package.
func TestKeep(t *testing.T) { //nolint:paralleltest // there is one collector
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		t.Fatal("the environment decides")
	}
	p := Keep(Options{Garbage: 16 << 20})
	defer p.Stop()
	awaitPercent := func(why string, holds func(int64) bool) {
		t.Helper()
		for until := time.Now().Add(30 * time.Second); !holds(p.percent.Load()); {
			if time.Now().After(until) {
				t.Fatalf("%s: %d %%", why, p.percent.Load())
			}
			runtime.GC()
		}
	}
	awaitPercent("little in use", func(percent int64) bool { return percent == laziest })
	held := make([]byte, 64<<20)
	for i := range held {
		held[i] = 1
	}
	awaitPercent("64 MB in use", func(percent int64) bool { return percent == keenest })
	runtime.KeepAlive(held)
	held = nil //nolint:ineffassign // let go of
	awaitPercent("little in use again", func(percent int64) bool { return percent > 2*keenest })
}
