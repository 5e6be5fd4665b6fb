// Command bench measures TradeSage against its budgets, each in one run with
// everything on this machine: the router against a plain gqlgen server of the
// same schema, requests against PostgreSQL, new tenants, sign-ins and migrations
// of the fleet. It asserts nothing: it prints what it measured, writes it as
// JSON, and compares it with an earlier file.
//
//	bench [-quick] [-json FILE] [-compare FILE] [NAME…]
//
// Run it from the repository's root: it builds the program that it measures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are what the command line asks for.
type options struct {
	quick bool
	json  string
	// compare is an earlier file of json.
	compare string
	// profiles is a folder for the server's profiles.
	profiles string
	// cosmo is Cosmo Router's program.
	cosmo string
	names []string
}

// pick returns the size of the full run or of the quick one.
func pick[T any](o options, full, quick T) T {
	if o.quick {
		return quick
	}
	return full
}

// benchmark measures one subject and reports its figures.
type benchmark struct {
	name string
	// stack says that it needs databases and a running tradesage.
	stack bool
	// asked says that it runs only where it is named.
	asked bool
	run   func(ctx context.Context, o options, s *stack) ([]figure, error)
}

var benchmarks = []benchmark{
	{name: "router", run: measureRouter},
	{name: "me", stack: true, run: measureMe},
	{name: "fairness", stack: true, run: measureFairness},
	{name: "login", stack: true, run: measureLogin},
	{name: "tenants", stack: true, run: measureTenants},
	{name: "live", stack: true, run: measureLive},
	{name: "fleet", stack: true, run: measureFleet},
	{name: cosmoName, asked: true, run: measureCosmo},
	{name: scaleName, stack: true, asked: true, run: measureScale},
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == serveGraph {
		exit(runServeGraph(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == runFlood {
		exit(flood(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.BoolVar(&o.quick, "quick", false, "small sizes: whether everything still runs, not how fast")
	flag.StringVar(&o.json, "json", "", "write the figures to `FILE`")
	flag.StringVar(&o.compare, "compare", "", "print the changes since an earlier `FILE` and flag regressions over 10 %")
	flag.StringVar(&o.profiles, "profiles", "", "write the server's profiles of heap and goroutines, with all subscribers of live connected, to `FOLDER`")
	flag.StringVar(&o.cosmo, "cosmo", "", "compare with Cosmo Router, whose program is `FILE`, in the benchmark cosmo")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: bench [flags] [NAME…]\n\nNAME is one of %s; all without one, but for %s and %s.\n\n", strings.Join(benchmarkNames(), ", "), cosmoName, scaleName)
		flag.PrintDefaults()
	}
	flag.Parse()
	o.names = flag.Args()
	exit(run(ctx, o))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func benchmarkNames() []string {
	var out []string
	for _, b := range benchmarks {
		out = append(out, b.name)
	}
	return out
}

func run(ctx context.Context, o options) (err error) {
	for _, name := range o.names {
		if !slices.Contains(benchmarkNames(), name) {
			return fmt.Errorf("there is no benchmark %q; choose of %s", name, strings.Join(benchmarkNames(), ", "))
		}
	}
	var earlier *report
	if o.compare != "" {
		// Read first: a wrong name should not cost a whole run.
		if earlier, err = readReport(o.compare); err != nil {
			return err
		}
	}
	r := newReport(o.quick)
	var s *stack
	defer func() {
		if s != nil {
			err = errors.Join(err, s.close())
		}
	}()
	for _, b := range benchmarks {
		if len(o.names) > 0 && !slices.Contains(o.names, b.name) || len(o.names) == 0 && b.asked {
			continue
		}
		if b.stack && s == nil {
			if s, err = openStack(ctx, o); err != nil {
				r.print(os.Stdout)
				return fmt.Errorf("databases: %w", err)
			}
		}
		began := time.Now()
		fmt.Fprintf(os.Stderr, "%s …\n", b.name)
		figures, err := b.run(ctx, o, s)
		if err != nil {
			r.print(os.Stdout) // what was measured is worth a look
			return fmt.Errorf("%s: %w", b.name, err)
		}
		r.add(b.name, figures)
		fmt.Fprintf(os.Stderr, "%s took %s\n", b.name, time.Since(began).Round(time.Second/10))
	}
	r.print(os.Stdout)
	if earlier != nil {
		r.printChanges(os.Stdout, earlier)
	}
	if o.json != "" {
		return r.write(o.json)
	}
	return nil
}
