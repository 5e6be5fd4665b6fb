package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tradesage/tradesage/cmd/bench/desk/people"
	"github.com/tradesage/tradesage/cmd/bench/graph"
)

const cosmoName = "cosmo"

// cosmoConnections keep a router busy; each request asks for another trader, so that
// none is answered with what another one fetched.
const cosmoConnections, cosmoTraders = 16, 60

// measureCosmo compares the product, as a router of other people's subgraphs, with
// Cosmo Router: the same composed config, the same three subgraphs in a process of
// their own, the same requests by turns. Both run as they are configured by default,
// but for what would have them send telemetry to machines that are not there, write a
// line for each request, and refuse so many of them.
func measureCosmo(ctx context.Context, o options, _ *stack) (_ []figure, err error) {
	if o.cosmo == "" {
		return nil, errors.New("-cosmo is to name Cosmo Router's program")
	}
	dir, err := os.MkdirTemp("", "tradesage-bench-cosmo-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	subgraphs, err := startSelf(serveGraph, subgraphsVariant)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, subgraphs.close()) }()
	config := filepath.Join(dir, "supergraph.json")
	if err := os.WriteFile(config, graph.SupergraphAt("http://"+subgraphs.addr), 0o600); err != nil {
		return nil, err
	}
	ours := filepath.Join(dir, "tradesage")
	if err := buildProgram(ctx, ours); err != nil {
		return nil, err
	}
	var routers []*process
	defer func() {
		for _, r := range routers {
			_ = r.close() // how it ends is its own affair
		}
	}()
	for _, start := range []func() (*process, error){
		func() (*process, error) { return startCosmo(ctx, o.cosmo, config, dir) },
		func() (*process, error) { return startStandalone(ctx, ours, config, dir) },
	} {
		r, err := start()
		if err != nil {
			return nil, err
		}
		routers = append(routers, r)
	}
	var figures []figure
	for _, op := range operations {
		f, err := besideCosmo(ctx, o, op.query, op.variables, routers)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op.name, err)
		}
		f.Name = op.name + ", CPU of the router over Cosmo's"
		figures = append(figures, f)
	}
	return figures, nil
}

// besideCosmo measures one operation at both routers.
func besideCosmo(ctx context.Context, o options, query, variables string, routers []*process) (figure, error) {
	turns, lasting := pick(o, 20, 2), pick(o, 300*time.Millisecond, 50*time.Millisecond)
	var answers [2][]byte
	var costs, rates [2][]float64
	for turn := range turns + 1 {
		for side, r := range routers {
			requests := make([][]byte, cosmoTraders)
			for i := range requests {
				others := strings.NewReplacer(people.TraderID(3).String(), people.TraderID(i).String(), people.TraderID(4).String(), people.TraderID(i).String(), "100", strconv.Itoa(70+i))
				requests[i] = graphqlRequest(r.addr, "", query, others.Replace(variables))
			}
			if turn == 0 {
				c, err := dial(r.addr)
				if err != nil {
					return figure{}, err
				}
				body, err := c.ask(requests[3])
				c.close()
				if err != nil {
					return figure{}, err
				}
				answers[side] = bytes.Clone(body)
			}
			before, err := processCPU(r.cmd.Process.Pid)
			if err != nil {
				return figure{}, err
			}
			done, err := drive(ctx, r.addr, cosmoConnections, lasting, func(worker, i int) []byte { return requests[(worker*7+i)%len(requests)] })
			if err != nil {
				return figure{}, err
			}
			after, err := processCPU(r.cmd.Process.Pid)
			if err != nil {
				return figure{}, err
			}
			if turn > 0 {
				costs[side] = append(costs[side], micros(after-before)/float64(max(done.count, 1)))
				rates[side] = append(rates[side], done.rate())
			}
		}
	}
	if err := sameJSON(answers[0], answers[1]); err != nil {
		return figure{}, err
	}
	slices.Sort(rates[0])
	slices.Sort(rates[1])
	cosmo, ours := lowerQuartile(costs[0]), lowerQuartile(costs[1])
	return figure{
		Unit: "x", Goal: lower, Budget: 1, Measured: ours / cosmo,
		Note: fmt.Sprintf("CPU a request: Cosmo %.0f µs, TradeSage %.0f µs; requests/s, medians, with the subgraphs and the generator on the same cores: %.0f and %.0f", cosmo, ours, rates[0][len(rates[0])/2], rates[1][len(rates[1])/2]),
	}, nil
}

// sameJSON fails unless both answers say the same.
func sameJSON(a, b []byte) error {
	var x, y any
	if err := errors.Join(json.Unmarshal(a, &x), json.Unmarshal(b, &y)); err != nil {
		return err
	}
	if !reflect.DeepEqual(x, y) {
		return fmt.Errorf("the answers differ:\n%s\n%s", a, b)
	}
	return nil
}

func startCosmo(ctx context.Context, program, config, dir string) (*process, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	metrics, err := freeAddress()
	if err != nil {
		return nil, err
	}
	return startProcess(ctx, exec.Command(program), addr, filepath.Join(dir, "cosmo.log"), graphqlRequest(addr, "", "{ __typename }", ""),
		"EXECUTION_CONFIG_FILE_PATH="+config, "LISTEN_ADDR="+addr, "LOG_LEVEL=warn", "ACCESS_LOGS_ENABLED=false",
		"TRACING_ENABLED=false", "METRICS_OTLP_ENABLED=false", "GRAPHQL_METRICS_ENABLED=false", "PROMETHEUS_LISTEN_ADDR="+metrics)
}

func startStandalone(ctx context.Context, program, config, dir string) (*process, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	return startProcess(ctx, exec.Command(program, "serve"), addr, filepath.Join(dir, "tradesage.log"), graphqlRequest(addr, "", "{ __typename }", ""),
		"TRADESAGE_SUPERGRAPH="+config, "TRADESAGE_PUBLIC_ONLY=true", "TRADESAGE_LISTEN="+addr, "TRADESAGE_METRICS_LISTEN=127.0.0.1:0",
		"TRADESAGE_LOG_LEVEL=warn", "TRADESAGE_RATE_IP=100000000/1m")
}
