package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// cells are the words of each line of a table.
func cells(text string) [][]string {
	var out [][]string
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 0 {
			out = append(out, words)
		}
	}
	return out
}

func TestComparisonFlagsWhatGotWorse(t *testing.T) {
	t.Parallel()
	earlier := newReport(true)
	earlier.add("me", []figure{
		{Name: "rate", Unit: "requests/s", Goal: higher, Measured: 1000},
		{Name: "steady-rate", Unit: "requests/s", Goal: higher, Measured: 1000},
		{Name: "better-rate", Unit: "requests/s", Goal: higher, Measured: 1000},
		{Name: "p99", Unit: "ms", Goal: lower, Measured: 10},
		{Name: "steady-p99", Unit: "ms", Goal: lower, Measured: 10},
		{Name: "better-p99", Unit: "ms", Goal: lower, Measured: 10},
		{Name: "other-unit", Unit: "s", Goal: lower, Measured: 10},
		{Name: "gone", Unit: "s", Goal: lower, Measured: 10},
	})
	earlier.add("not run now", []figure{{Name: "p99", Unit: "ms", Goal: lower, Measured: 10}})
	path := filepath.Join(t.TempDir(), "earlier.json")
	if err := earlier.write(path); err != nil {
		t.Fatal(err)
	}
	read, err := readReport(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(earlier, read); diff != "" {
		t.Fatalf("read back (-want +got):\n%s", diff)
	}
	now := newReport(true)
	now.add("me", []figure{
		{Name: "rate", Unit: "requests/s", Goal: higher, Measured: 890},
		{Name: "steady-rate", Unit: "requests/s", Goal: higher, Measured: 910},
		{Name: "better-rate", Unit: "requests/s", Goal: higher, Measured: 1111},
		{Name: "p99", Unit: "ms", Goal: lower, Measured: 11.2},
		{Name: "steady-p99", Unit: "ms", Goal: lower, Measured: 10.9},
		{Name: "better-p99", Unit: "ms", Goal: lower, Measured: 5},
		{Name: "other-unit", Unit: "ms", Goal: lower, Measured: 10_000},
		{Name: "added", Unit: "ms", Goal: lower, Measured: 3},
	})
	var out strings.Builder
	now.printChanges(&out, read)
	want := cells(`
		me/rate 1000 890 requests/s -11.0 % REGRESSION
		me/steady-rate 1000 910 requests/s -9.0 %
		me/better-rate 1000 1111 requests/s +11.1 % better
		me/p99 10 11.2 ms +12.0 % REGRESSION
		me/steady-p99 10 10.9 ms +9.0 %
		me/better-p99 10 5 ms -50.0 % better
		me/other-unit 10000 ms new
		me/added 3 ms new
		me/gone 10 s gone
		2 of 8 figures are worse by more than 10 %`)
	if diff := cmp.Diff(want, cells(out.String())[2:]); diff != "" {
		t.Errorf("comparison (-want +got):\n%s\n%s", diff, out.String())
	}
	if strings.Contains(out.String(), "careful") {
		t.Error("a warning on runs that can be compared")
	}
}

func TestComparisonWarnsOfUnequalRuns(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	newReport(false).printChanges(&out, newReport(true))
	if !strings.Contains(out.String(), "careful") {
		t.Errorf("no warning: %s", out.String())
	}
}
