package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// healthCommand is the health check of containers, whose image has no shell.
type healthCommand struct {
	URL           string        `help:"Address to ask; /readyz of the metrics listener on this machine if empty."`
	MetricsListen string        `env:"TRADESAGE_METRICS_LISTEN" help:"Address of /metrics and pprof, as serve was told."`
	Services      []string      `env:"TRADESAGE_SERVICES" default:"all" help:"What the process serves, as serve was told."`
	Timeout       time.Duration `default:"4s" help:"How long to wait for the answer."`
}

// Run prints one line, and fails unless the process is ready.
func (h healthCommand) Run(ctx context.Context) error {
	at, err := h.address()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	defer response.Body.Close()
	missing := missingIn(response.Body)
	if response.StatusCode != http.StatusOK {
		if missing == "" {
			missing = response.Status
		}
		return fmt.Errorf("not ready: %s", missing)
	}
	if missing != "" {
		missing = ", without " + missing
	}
	_, err = fmt.Fprintf(os.Stdout, "ready%s\n", missing)
	return err
}

// address is what to ask.
func (h healthCommand) address() (string, error) {
	if h.URL != "" {
		return h.URL, nil
	}
	listen := h.MetricsListen
	if listen == "" {
		listen = servicesConfig{Services: h.Services}.metricsListen()
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("TRADESAGE_METRICS_LISTEN: %q is not host:port", listen)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // it listens at every address
	}
	return "http://" + net.JoinHostPort(host, port) + "/readyz", nil
}

// missingIn tells in one line what an answer of /readyz names.
func missingIn(body io.Reader) string {
	var answer struct {
		Checks map[string]checkResult `json:"checks"`
	}
	if err := json.NewDecoder(io.LimitReader(body, 64<<10)).Decode(&answer); err != nil {
		return "" // not ours, or from between
	}
	var parts []string
	for _, name := range sortedKeys(answer.Checks) {
		if result := answer.Checks[name]; !result.OK {
			parts = append(parts, name+" ("+strings.Join(result.Missing, ", ")+")")
		}
	}
	return strings.Join(parts, ", ")
}
