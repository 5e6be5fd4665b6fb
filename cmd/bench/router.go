package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/tradesage/tradesage/cmd/bench/desk/people"
	"github.com/tradesage/tradesage/cmd/bench/graph"
)

// serveGraph is the argument that makes this program one of the two servers.
const serveGraph = "serve-graph"

// gcPercent is what the product runs with; both sides get it.
const gcPercent = 400

// operations are what both servers are asked. A hop is a call of a subgraph.
var operations = []struct {
	name, query, variables string
	budget                 float64
}{
	{
		"Q1", `query Q1($id: ID!) { trader(id: $id) { id name email office { city country } } }`,
		fmt.Sprintf(`{"id":%q}`, people.TraderID(3)), 1.35,
	},
	{
		"Q1 with a join", `query Q1Join($id: ID!) { trader(id: $id) { id name positions(first: 1) { quantity averagePrice } } }`,
		fmt.Sprintf(`{"id":%q}`, people.TraderID(3)), 0,
	},
	{
		"Q2", `query Q2($id: ID!) { trader(id: $id) { id name email office { city country } positions(first: 10) { id quantity averagePrice } } }`,
		fmt.Sprintf(`{"id":%q}`, people.TraderID(4)), 1.7,
	},
	{
		"Q2 with two joins", `query Q2Joins($id: ID!) { trader(id: $id) { id name positions(first: 10) { id quantity instrument { symbol name venue { name } } } } }`,
		fmt.Sprintf(`{"id":%q}`, people.TraderID(4)), 0,
	},
	{
		"Q3", `query Q3($n: Int!) { positions(first: $n) { id quantity averagePrice instrument { symbol name venue { code name } quote { bid ask } } } }`,
		`{"n":100}`, 1.25,
	},
}

// variants are the two sides: what is measured, and what it is measured against.
var variants = []string{"monolith", "router"}

// subgraphsVariant serves the three subgraphs, each under its name.
const subgraphsVariant = "subgraphs"

func variant(ctx context.Context, name string) (http.Handler, error) {
	switch name {
	case "router":
		return graph.Router(ctx)
	case subgraphsVariant:
		return graph.Subgraphs(), nil
	}
	return graph.Monolith(), nil
}

// runServeGraph serves a variant until its input ends.
func runServeGraph(args []string) error {
	if len(args) != 1 || args[0] != subgraphsVariant && !slices.Contains(variants, args[0]) {
		return fmt.Errorf("%s needs one of %s", serveGraph, strings.Join(variants, ", "))
	}
	debug.SetGCPercent(gcPercent)
	h, err := variant(context.Background(), args[0])
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", h)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent
		_ = server.Close()
	}()
	fmt.Println(listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// measureRouter compares the CPU time of a request of both variants, over HTTP in
// processes of their own and then as bare handlers in this one. The variants take
// turns many times, so that what else the machine does hits both. What it does only
// adds to the cost, by cold caches, so that the ratio is that of the lower quartiles.
func measureRouter(ctx context.Context, o options, _ *stack) ([]figure, error) {
	over, err := routerOverHTTP(ctx, o)
	if err != nil {
		return nil, err
	}
	bare, err := routerBare(ctx, o)
	return append(over, bare...), err
}

const (
	routerConnections = 4
	// routerWarming lets plans be made, pools fill and the collector find its pace: in
	// its first moments the router takes half as much again.
	routerWarming = 400 * time.Millisecond
)

func routerOverHTTP(ctx context.Context, o options) (_ []figure, err error) {
	var servers []*child
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.close())
		}
	}()
	for _, name := range variants {
		s, err := startSelf(serveGraph, name)
		if err != nil {
			return nil, err
		}
		servers = append(servers, s)
	}
	turns, lasting := pick(o, 40, 4), pick(o, 120*time.Millisecond, 50*time.Millisecond)
	var figures []figure
	for _, op := range operations {
		var answers [2][]byte
		var costs [2][]float64
		for turn := range turns + 1 {
			for side, s := range servers {
				request := graphqlRequest(s.addr, "", op.query, op.variables)
				before, err := processCPU(s.cmd.Process.Pid)
				if err != nil {
					return nil, err
				}
				span := lasting
				if turn == 0 {
					span = routerWarming
				}
				done, err := drive(ctx, s.addr, routerConnections, span, func(int, int) []byte { return request })
				if err != nil {
					return nil, err
				}
				after, err := processCPU(s.cmd.Process.Pid)
				if err != nil {
					return nil, err
				}
				if turn == 0 { // warm: plans are made and connections were seen
					c, err := dial(s.addr)
					if err != nil {
						return nil, err
					}
					body, err := c.ask(request)
					answers[side] = bytes.Clone(body)
					c.close()
					if err != nil {
						return nil, err
					}
					continue
				}
				costs[side] = append(costs[side], micros(after-before)/float64(max(done.count, 1)))
			}
		}
		if !bytes.Equal(answers[0], answers[1]) {
			return nil, fmt.Errorf("%s: the answers differ:\n%s\n%s", op.name, answers[0], answers[1])
		}
		figures = append(figures, ratioFigure(op.name, op.budget, costs))
	}
	return figures, nil
}

func routerBare(ctx context.Context, o options) ([]figure, error) {
	previous := debug.SetGCPercent(gcPercent)
	defer debug.SetGCPercent(previous)
	var handlers []http.Handler
	for _, name := range variants {
		h, err := variant(ctx, name)
		if err != nil {
			return nil, err
		}
		handlers = append(handlers, h)
	}
	turns, lasting := pick(o, 30, 3), pick(o, 70*time.Millisecond, 20*time.Millisecond)
	var figures []figure
	for _, op := range operations {
		_, body, _ := bytes.Cut(graphqlRequest("x", "", op.query, op.variables), []byte("\r\n\r\n"))
		var costs [2][]float64
		for turn := range turns + 1 {
			for side, h := range handlers {
				cost, err := callFor(ctx, h, body, lasting)
				if err != nil {
					return nil, err
				}
				if turn > 0 {
					costs[side] = append(costs[side], cost)
				}
			}
		}
		figures = append(figures, ratioFigure(op.name+", no HTTP", 0, costs))
	}
	return figures, nil
}

// callFor calls a handler for a while and returns the CPU time of a call in µs.
func callFor(ctx context.Context, h http.Handler, body []byte, lasting time.Duration) (float64, error) {
	base, err := http.NewRequestWithContext(ctx, http.MethodPost, "/graphql", nil)
	if err != nil {
		return 0, err
	}
	base.Header.Set("Content-Type", "application/json")
	base.ContentLength = int64(len(body))
	before, err := processCPU(os.Getpid())
	if err != nil {
		return 0, err
	}
	calls := 0
	for until := time.Now().Add(lasting); time.Now().Before(until); calls++ {
		request := *base
		request.Body = io.NopCloser(bytes.NewReader(body))
		h.ServeHTTP(discard{make(http.Header, 4)}, &request)
	}
	after, err := processCPU(os.Getpid())
	return micros(after-before) / float64(calls), err
}

// discard is the cheapest http.ResponseWriter.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// ratioFigure compares the costs of the two variants.
func ratioFigure(name string, budget float64, costs [2][]float64) figure {
	floor, router := lowerQuartile(costs[0]), lowerQuartile(costs[1])
	return figure{
		Name: name, Unit: "x", Goal: lower, Budget: budget, Measured: router / floor,
		Note: fmt.Sprintf("CPU a request: monolith %.1f µs, router %.1f µs", floor, router),
	}
}

func lowerQuartile(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/4]
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
