package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/internal/mtls"
)

// tlsConfig is the public listener's certificate.
type tlsConfig struct {
	Cert string `name:"tls-cert" env:"TRADESAGE_TLS_CERT" help:"Certificate of the public listener, PEM with those between it and its authority. With it the listener speaks TLS 1.3 only. A changed file is taken up within a second."`
	Key  string `name:"tls-key" env:"TRADESAGE_TLS_KEY" help:"Private key of that certificate, PEM."`
}

func (c tlsConfig) enabled() bool { return c.Cert != "" }

func (c tlsConfig) validate() error {
	switch {
	case c.Cert != "" && c.Key == "":
		return errors.New("TRADESAGE_TLS_KEY: must be set where TRADESAGE_TLS_CERT is")
	case c.Cert == "" && c.Key != "":
		return errors.New("TRADESAGE_TLS_CERT: must be set where TRADESAGE_TLS_KEY is")
	}
	return nil
}

func (c tlsConfig) load(logger *slog.Logger) (*mtls.Credentials, error) {
	certificate, err := mtls.Load(mtls.Options{Files: mtls.Files{Cert: c.Cert, Key: c.Key}, Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("TRADESAGE_TLS_CERT: %w", err)
	}
	return certificate, nil
}

// secure gives the public server its certificate, if one is configured, and
// follows the files until ctx ends.
func (h *host) secure(ctx context.Context, public *http.Server) error {
	if !h.config.TLS.enabled() {
		return nil
	}
	certificate, err := h.config.TLS.load(h.logger)
	if err != nil {
		return err
	}
	expiry(h.registry, "public", certificate)
	public.TLSConfig = certificate.Public()
	public.ConnContext = certificate.ConnContext
	public.Handler = certificate.Renew(public.Handler)
	h.run(ctx, "public certificate", certificate.Run)
	return nil
}

// expiry tells operators when a certificate ends.
func expiry(registry *prometheus.Registry, name string, certificate *mtls.Credentials) {
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "tradesage_certificate_expiry_timestamp_seconds",
		Help:        "When a certificate in use ends, in seconds since 1970.",
		ConstLabels: prometheus.Labels{"certificate": name},
	}, func() float64 { return float64(certificate.Expires().Unix()) }))
}

// secureService lets only the router call a service's server, where there are
// certificates, and follows their files until ctx ends.
func (h *host) secureService(ctx context.Context, name string, server *http.Server) error {
	certificates, err := h.config.Parts.certificates(name, h.logger)
	if err != nil {
		return err
	}
	if certificates == nil {
		server.Protocols = &http.Protocols{}
		server.Protocols.SetHTTP1(true)
		server.Protocols.SetUnencryptedHTTP2(true)
		return nil
	}
	if server.TLSConfig, err = certificates.Server(serviceRouter); err != nil {
		return err
	}
	server.ConnContext = certificates.ConnContext
	server.Handler = certificates.Renew(server.Handler)
	expiry(h.registry, name, certificates)
	h.run(ctx, name+"'s certificate", certificates.Run)
	return nil
}

// tellHTTPSOnly has browsers that came by HTTPS use nothing else for a year
// (RFC 6797).
func tellHTTPSOnly(h http.Header, connection *tls.ConnectionState) {
	if connection != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}
