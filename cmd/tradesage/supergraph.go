package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/tradesage/tradesage/graph"
	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/graph/upstream"
)

// supergraphConfig puts another supergraph in the place of the one compiled in.
type supergraphConfig struct {
	File        string            `name:"supergraph" env:"TRADESAGE_SUPERGRAPH" type:"path" help:"Serve this composed supergraph, an execution config as wgc router compose writes it, in place of the one compiled in. A changed file is taken up within two seconds, or at once with SIGHUP, without dropping a request. TRADESAGE_SERVICES=all is the router alone then; services of this process are named."`
	URLs        map[string]string `name:"subgraph-urls" env:"TRADESAGE_SUBGRAPH_URLS" mapsep:"," placeholder:"NAME=URL,…" help:"With TRADESAGE_SUPERGRAPH: where subgraphs are, as products=https://products.internal/graphql, where that is not the routing URL in the file."`
	CA          string            `name:"subgraph-ca" env:"TRADESAGE_SUBGRAPH_CA" type:"path" help:"With TRADESAGE_SUPERGRAPH: PEM file with the certificates that subgraphs' may be signed by; the system's if empty."`
	Cert        string            `name:"subgraph-cert" env:"TRADESAGE_SUBGRAPH_CERT" type:"path" help:"With TRADESAGE_SUPERGRAPH: certificate that is shown to subgraphs which ask for one, PEM with those between it and its authority. This file, its key and TRADESAGE_SUBGRAPH_CA are taken up within a second when they change."`
	Key         string            `name:"subgraph-key" env:"TRADESAGE_SUBGRAPH_KEY" type:"path" help:"Private key of that certificate, PEM."`
	Connections int               `name:"subgraph-connections" env:"TRADESAGE_SUBGRAPH_CONNECTIONS" default:"256" help:"With TRADESAGE_SUPERGRAPH: most connections to one host over HTTP/1.1, 1 to 10000; over HTTP/2 one carries many calls."`
	PerSocket   int               `name:"subgraph-socket-subscriptions" env:"TRADESAGE_SUBGRAPH_SOCKET_SUBSCRIPTIONS" default:"50" help:"With TRADESAGE_SUPERGRAPH: most subscriptions that share a WebSocket to a subgraph, 1 to 1000; only those of one caller ever do. 1 is a socket each."`
	Plaintext   bool              `name:"subgraph-plaintext" env:"TRADESAGE_SUBGRAPH_PLAINTEXT" help:"With TRADESAGE_SUPERGRAPH: call subgraphs of other machines over http:// too, where the network protects what passes, tokens included."`
	PublicOnly  bool              `name:"public-only" env:"TRADESAGE_PUBLIC_ONLY" help:"With TRADESAGE_SUPERGRAPH: nobody signs in here, so that no database and no Redis are needed. What the schema keeps for those who are signed in is refused. Tokens are passed on unread to the subgraphs, which check them."`
}

// given is whether there is a file.
func (c supergraphConfig) given() bool { return c.File != "" }

func (c supergraphConfig) validate(parts servicesConfig) error {
	if !c.given() {
		return c.needsFile()
	}
	if !parts.serves(serviceRouter) {
		return errors.New("TRADESAGE_SUPERGRAPH: this process serves no router; see TRADESAGE_SERVICES")
	}
	if c.PublicOnly && len(parts.subgraphs()) > 0 {
		return fmt.Errorf("TRADESAGE_PUBLIC_ONLY: %s of this process need sign-in and a database", strings.Join(parts.subgraphs(), ", "))
	}
	if c.Connections < 1 || c.Connections > 10_000 {
		return fmt.Errorf("TRADESAGE_SUBGRAPH_CONNECTIONS: %d is not between 1 and 10000", c.Connections)
	}
	if c.PerSocket < 1 || c.PerSocket > 1000 {
		return fmt.Errorf("TRADESAGE_SUBGRAPH_SOCKET_SUBSCRIPTIONS: %d is not between 1 and 1000", c.PerSocket)
	}
	if _, err := c.certificates(slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	_, composition, err := c.read()
	if err != nil {
		return err
	}
	_, err = c.addresses(composition, parts)
	return err
}

// needsFile refuses settings that would do nothing.
func (c supergraphConfig) needsFile() error {
	for _, s := range []struct {
		setting string
		set     bool
	}{
		{"TRADESAGE_SUBGRAPH_URLS", len(c.URLs) > 0}, {"TRADESAGE_SUBGRAPH_CA", c.CA != ""},
		{"TRADESAGE_SUBGRAPH_CERT", c.Cert != ""}, {"TRADESAGE_SUBGRAPH_KEY", c.Key != ""},
		{"TRADESAGE_SUBGRAPH_PLAINTEXT", c.Plaintext}, {"TRADESAGE_PUBLIC_ONLY", c.PublicOnly},
	} {
		if s.set {
			return fmt.Errorf("%s: needs TRADESAGE_SUPERGRAPH", s.setting)
		}
	}
	return nil
}

// read returns the supergraph to serve.
func (c supergraphConfig) read() ([]byte, router.Composition, error) {
	if !c.given() {
		composition, err := router.ReadComposition(graph.Supergraph)
		return graph.Supergraph, composition, err
	}
	text, err := os.ReadFile(c.File)
	if err != nil {
		return nil, router.Composition{}, fmt.Errorf("TRADESAGE_SUPERGRAPH: %w", err)
	}
	composition, err := router.ReadComposition(text)
	if err != nil {
		return nil, composition, fmt.Errorf("TRADESAGE_SUPERGRAPH: %s: %w", c.File, err)
	}
	return text, composition, nil
}

// addresses returns where each subgraph of the file is that this process does not
// serve, or says which setting is wrong.
func (c supergraphConfig) addresses(composition router.Composition, parts servicesConfig) (map[string]string, error) {
	for _, name := range sortedKeys(c.URLs) {
		if _, ok := composition.URLs[name]; !ok {
			return nil, fmt.Errorf("TRADESAGE_SUBGRAPH_URLS: the supergraph has no subgraph %q, only %s", name, strings.Join(sortedKeys(composition.URLs), ", "))
		}
	}
	for _, name := range parts.subgraphs() {
		if _, ok := composition.URLs[name]; !ok {
			return nil, fmt.Errorf("TRADESAGE_SERVICES: the supergraph has no subgraph %q", name)
		}
	}
	out := map[string]string{}
	for _, name := range sortedKeys(composition.URLs) {
		if slices.Contains(parts.subgraphs(), name) {
			continue
		}
		from, at := "TRADESAGE_SUBGRAPH_URLS: "+name, c.URLs[name]
		if at == "" {
			from, at = fmt.Sprintf("TRADESAGE_SUPERGRAPH: the routing URL of %s (TRADESAGE_SUBGRAPH_URLS sets another)", name), composition.URLs[name]
		}
		u, err := url.Parse(at)
		switch {
		case err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https":
			return nil, fmt.Errorf("%s: %q is not a URL as https://host/graphql", from, at)
		case u.Scheme == "http" && !c.Plaintext && !loopback(u.Hostname()):
			return nil, fmt.Errorf("%s: %s is another machine: use https://, or set TRADESAGE_SUBGRAPH_PLAINTEXT", from, u.Hostname())
		}
		out[name] = at
	}
	return out, nil
}

// openFile gives the router's options the supergraph of the configured file, if
// there is one, and returns what follows its changes.
func (a *app) openFile(background context.Context, options *router.Options) (*followed[router.Composition], error) {
	c := &a.config.Supergraph
	if !c.given() {
		return nil, nil //nolint:nilnil // what is compiled in does not change
	}
	foreign, err := a.reachForeign(background)
	if err != nil {
		return nil, err
	}
	file := &followed[router.Composition]{name: "supergraph", stays: "the former supergraph stays in force", logger: a.logger, read: c.read}
	composition, err := file.open(c.File)
	if err != nil {
		return nil, err
	}
	if options.Remote, err = foreign.remotes(composition); err != nil {
		return nil, err
	}
	options.Config = file.inForce
	file.unread = func() { a.router.Refused() }
	file.put = func(ctx context.Context, text []byte, composition router.Composition) error {
		remotes, err := foreign.remotes(composition)
		if err != nil {
			a.router.Refused()
			return err
		}
		return a.router.Reload(ctx, text, remotes)
	}
	a.checks = append(a.checks, check{"supergraph", file.check, dispensable}, check{"subgraphs", a.circuitCheck, dispensable})
	return file, nil
}

// circuitCheck names the subgraphs that are not called at the moment.
func (a *app) circuitCheck(context.Context) ([]string, error) {
	var missing []string
	circuits := a.router.Circuits()
	for _, name := range sortedKeys(circuits) {
		if circuits[name] != upstream.Closed {
			missing = append(missing, fmt.Sprintf("the circuit of %s is %s", name, circuits[name]))
		}
	}
	return missing, nil
}
