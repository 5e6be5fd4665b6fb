package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"
)

// goal says which direction is better.
type goal string

const (
	lower  goal = "lower"
	higher goal = "higher"
)

// figure is one measured number.
type figure struct {
	// Name is unique and stable: comparisons go by it.
	Name string `json:"name"`
	Unit string `json:"unit"`
	Goal goal   `json:"goal"`
	// Budget is 0 where there is none.
	Budget   float64 `json:"budget,omitempty"`
	Measured float64 `json:"measured"`
	// Note says what else was seen.
	Note string `json:"note,omitempty"`
}

func (f figure) within() bool {
	if f.Goal == higher {
		return f.Measured >= f.Budget
	}
	return f.Measured <= f.Budget
}

// report is what one run writes.
type report struct {
	Date    time.Time `json:"date"`
	Commit  string    `json:"commit"`
	Machine string    `json:"machine"`
	Quick   bool      `json:"quick"`
	Figures []figure  `json:"figures"`
}

func newReport(quick bool) *report {
	return &report{Date: time.Now().UTC().Truncate(time.Second), Commit: commit(), Machine: machine(), Quick: quick}
}

// commit is the one that the program was built from, if the build knows it.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

// machine names the processor and how much of it there is.
func machine() string {
	name := runtime.GOARCH
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
				name = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d CPUs, %s", name, runtime.NumCPU(), runtime.Version())
}

func (r *report) add(group string, figures []figure) {
	for _, f := range figures {
		f.Name = group + "/" + f.Name
		r.Figures = append(r.Figures, f)
	}
}

// print writes the table for a person.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s · %s", r.Machine, r.Date.Format(time.DateTime))
	if r.Quick {
		fmt.Fprint(w, " · QUICK: sizes too small for the figures to mean much")
	}
	fmt.Fprint(w, "\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WHAT\tBUDGET\tMEASURED\tRATIO\t\tNOTE")
	for _, f := range r.Figures {
		budget, ratio, verdict := "", "", ""
		if f.Budget != 0 {
			sign := "<="
			if f.Goal == higher {
				sign = ">="
			}
			budget = sign + " " + number(f.Budget)
			ratio = fmt.Sprintf("%.2f", f.Measured/f.Budget)
			verdict = "miss"
			if f.within() {
				verdict = "pass"
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s %s\t%s\t%s\t%s\n", f.Name, budget, number(f.Measured), f.Unit, ratio, verdict, f.Note)
	}
	_ = t.Flush() // to a person's terminal
}

// regression is the change for the worse that is flagged.
const regression = 0.10

// printChanges writes how each figure changed since an earlier report.
func (r *report) printChanges(w io.Writer, earlier *report) {
	fmt.Fprintf(w, "\nchanges since %s (%s)\n", earlier.Date.Format(time.DateTime), earlier.Machine)
	if earlier.Machine != r.Machine || earlier.Quick != r.Quick {
		fmt.Fprintln(w, "careful: another machine or another size of run")
	}
	fmt.Fprintln(w)
	before, ran := map[string]figure{}, map[string]bool{}
	for _, f := range earlier.Figures {
		before[f.Name] = f
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WHAT\tBEFORE\tNOW\tCHANGE\t")
	regressed := 0
	for _, f := range r.Figures {
		old, ok := before[f.Name]
		delete(before, f.Name)
		group, _, _ := strings.Cut(f.Name, "/")
		ran[group] = true
		if !ok || old.Measured == 0 || old.Goal != f.Goal || old.Unit != f.Unit {
			fmt.Fprintf(t, "%s\t\t%s %s\tnew\t\n", f.Name, number(f.Measured), f.Unit)
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s %s\t%+.1f %%\t%s\n", f.Name, number(old.Measured), number(f.Measured), f.Unit,
			100*(f.Measured/old.Measured-1), judge(old, f))
		if judge(old, f) == worse {
			regressed++
		}
	}
	for _, f := range earlier.Figures {
		group, _, _ := strings.Cut(f.Name, "/")
		if _, left := before[f.Name]; left && ran[group] {
			fmt.Fprintf(t, "%s\t%s %s\t\tgone\t\n", f.Name, number(f.Measured), f.Unit)
		}
	}
	_ = t.Flush() // to a person's terminal
	if regressed > 0 {
		fmt.Fprintf(w, "\n%d of %d figures are worse by more than %.0f %%\n", regressed, len(r.Figures), 100*regression)
	}
}

// worse marks a regression.
const worse = "REGRESSION"

// judge names a change that is larger than noise.
func judge(old, now figure) string {
	change := now.Measured/old.Measured - 1
	if now.Goal == higher {
		change = -change
	}
	switch {
	case change > regression:
		return worse
	case change < -regression:
		return "better"
	}
	return ""
}

// number writes three significant digits.
func number(v float64) string {
	switch {
	case v >= 100 || v == float64(int64(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644) //nolint:gosec // figures are no secret
}

func readReport(path string) (*report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &r, nil
}
