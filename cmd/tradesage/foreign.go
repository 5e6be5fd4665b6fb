package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/graph/upstream"
	"github.com/tradesage/tradesage/internal/mtls"
)

// foreign reaches the subgraphs of a supergraph that was given as a file.
type foreign struct {
	config config
	// calls is for what ends soon, streams for what lasts, and sockets for WebSockets.
	calls, streams, sockets http.RoundTripper
}

// certificates are what subgraphs of others are known by, and what we show them.
func (c supergraphConfig) certificates(logger *slog.Logger) (*mtls.Credentials, error) {
	switch {
	case c.Cert != "" && c.Key == "":
		return nil, errors.New("TRADESAGE_SUBGRAPH_KEY: must be set where TRADESAGE_SUBGRAPH_CERT is")
	case c.Cert == "" && c.Key != "":
		return nil, errors.New("TRADESAGE_SUBGRAPH_CERT: must be set where TRADESAGE_SUBGRAPH_KEY is")
	}
	authorities := mtls.Options{Files: mtls.Files{CA: c.CA, ByHost: true}, Logger: logger}
	if _, err := mtls.Load(authorities); err != nil {
		return nil, fmt.Errorf("TRADESAGE_SUBGRAPH_CA: %w", err)
	}
	loaded, err := mtls.Load(mtls.Options{Files: mtls.Files{Cert: c.Cert, Key: c.Key, CA: c.CA, ByHost: true}, Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("TRADESAGE_SUBGRAPH_CERT: %w", err)
	}
	return loaded, nil
}

// reachForeign makes the ways to subgraphs of others, and follows the files of their
// certificates until ctx ends.
func (a *app) reachForeign(ctx context.Context) (*foreign, error) {
	c := a.config.Supergraph
	certificates, err := c.certificates(a.logger.With("certificate", "subgraphs"))
	if err != nil {
		return nil, err
	}
	if c.Cert != "" {
		expiry(a.registry, "subgraphs", certificates)
	}
	if c.Cert != "" || c.CA != "" {
		a.run(ctx, "certificates for subgraphs", certificates.Run)
	}
	few, many := upstream.Pool{Connections: c.Connections}, upstream.Pool{}
	return &foreign{
		config: a.config, calls: certificates.Hosts(few.Transport), streams: certificates.Hosts(many.Transport),
		sockets: certificates.Hosts(many.Transport, "http/1.1"),
	}, nil
}

// remotes says how each subgraph of a composition is called.
func (f *foreign) remotes(composition router.Composition) (map[string]router.Remote, error) {
	addresses, err := f.config.Supergraph.addresses(composition, f.config.Parts)
	if err != nil {
		return nil, err
	}
	if err := f.config.Upstream.knows(sortedKeys(addresses)); err != nil {
		return nil, err
	}
	out := make(map[string]router.Remote, len(addresses))
	for name, at := range addresses {
		out[name] = router.Remote{
			URL: at, Transport: f.calls, Streams: f.streams, SocketTransport: f.sockets,
			Sockets: composition.Sockets[name], PerSocket: f.config.Supergraph.PerSocket, Timeout: f.config.Upstream.FetchTimeouts[name],
		}
	}
	return out, nil
}
