package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tradesage/tradesage/internal/mtls"
)

// serviceRouter is the service that clients see.
const serviceRouter = "router"

// subgraphNames are the services behind the router, in the order in which a
// process that serves several picks the address of its metrics.
var subgraphNames = []string{"auth", "session", "tenant", "user"}

// processes are the parts of the system that may run in processes of their own.
var processes = append([]string{serviceRouter}, subgraphNames...)

// servicesConfig says which services this process serves, and where the others are.
type servicesConfig struct {
	Services []string `name:"services" env:"TRADESAGE_SERVICES" default:"all" help:"What this process serves: router, auth, session, tenant, user, several of them, or all. The process of auth also does what follows from changes: jobs, mail and live events."`

	AuthListen    string `name:"auth-listen" env:"TRADESAGE_AUTH_LISTEN" default:"127.0.0.1:8000" help:"Address of auth, where it is served apart."`
	SessionListen string `name:"session-listen" env:"TRADESAGE_SESSION_LISTEN" default:"127.0.0.1:8002" help:"Address of session, where it is served apart."`
	TenantListen  string `name:"tenant-listen" env:"TRADESAGE_TENANT_LISTEN" default:"127.0.0.1:8003" help:"Address of tenant, where it is served apart."`
	UserListen    string `name:"user-listen" env:"TRADESAGE_USER_LISTEN" default:"127.0.0.1:8004" help:"Address of user, where it is served apart."`

	AuthURL    string `name:"auth-url" env:"TRADESAGE_AUTH_URL" help:"Where the router finds auth, as https://auth:8000/graphql; its address on this machine if empty."`
	SessionURL string `name:"session-url" env:"TRADESAGE_SESSION_URL" help:"Where the router finds session."`
	TenantURL  string `name:"tenant-url" env:"TRADESAGE_TENANT_URL" help:"Where the router finds tenant."`
	UserURL    string `name:"user-url" env:"TRADESAGE_USER_URL" help:"Where the router finds user."`

	// foreign is whether the supergraph is a file's: then all means the router alone.
	foreign bool `kong:"-"`

	Certs string `name:"service-certs" env:"TRADESAGE_SERVICE_CERTS" type:"path" help:"Folder with ca.crt and the certificate and key of each service of this process, as tradesage certs makes it. With it services speak TLS 1.3 with certificates on both sides; without it they stay on this machine. Changed files are taken up within a second."`
}

// all is whether this process serves everything, so that nothing else is needed.
func (c servicesConfig) all() bool { return len(c.served()) == len(processes) }

// named is how the process is called.
func (c servicesConfig) named() []string {
	if c.all() {
		return []string{"all"}
	}
	return c.served()
}

// served are the services of this process.
func (c servicesConfig) served() []string {
	if slices.Equal(c.Services, []string{"all"}) || len(c.Services) == 0 {
		if c.foreign {
			return []string{serviceRouter}
		}
		return processes
	}
	return c.Services
}

func (c servicesConfig) serves(service string) bool { return slices.Contains(c.served(), service) }

// apart are the subgraphs of this process that other processes may call.
func (c servicesConfig) apart() []string {
	if c.all() {
		return nil
	}
	return c.subgraphs()
}

// subgraphs are those of this process.
func (c servicesConfig) subgraphs() []string {
	return slices.DeleteFunc(slices.Clone(c.served()), func(s string) bool { return s == serviceRouter })
}

// remote are the subgraphs that the router of this process calls elsewhere; those of
// a supergraph file are not among them.
func (c servicesConfig) remote() []string {
	if !c.serves(serviceRouter) || c.foreign {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(subgraphNames), c.serves)
}

func (c *servicesConfig) listen(service string) string {
	return *map[string]*string{"auth": &c.AuthListen, "session": &c.SessionListen, "tenant": &c.TenantListen, "user": &c.UserListen}[service]
}

func (c *servicesConfig) url(service string) *string {
	return map[string]*string{"auth": &c.AuthURL, "session": &c.SessionURL, "tenant": &c.TenantURL, "user": &c.UserURL}[service]
}

// metricsListen is where the metrics of this process are if nothing else is said.
func (c servicesConfig) metricsListen() string {
	if c.serves(serviceRouter) {
		return "127.0.0.1:9090"
	}
	for i, service := range subgraphNames {
		if c.serves(service) {
			return fmt.Sprintf("127.0.0.1:%d", 9091+i)
		}
	}
	return "127.0.0.1:9090"
}

func (c *servicesConfig) validate() error {
	seen := map[string]bool{}
	for _, service := range c.Services {
		switch {
		case service == "all" && len(c.Services) > 1:
			return errors.New("TRADESAGE_SERVICES: all stands alone")
		case service != "all" && !slices.Contains(processes, service):
			return fmt.Errorf("TRADESAGE_SERVICES: %q is none of %s, all", service, strings.Join(processes, ", "))
		case seen[service]:
			return fmt.Errorf("TRADESAGE_SERVICES: %s is named twice", service)
		}
		seen[service] = true
	}
	for _, service := range c.apart() {
		setting := "TRADESAGE_" + strings.ToUpper(service) + "_LISTEN"
		host, _, err := net.SplitHostPort(c.listen(service))
		if err != nil {
			return fmt.Errorf("%s: %q is not host:port", setting, c.listen(service))
		}
		if c.Certs == "" && !loopback(host) {
			return fmt.Errorf("%s: %s can be reached from other machines; set TRADESAGE_SERVICE_CERTS", setting, c.listen(service))
		}
	}
	for _, service := range c.remote() {
		if err := c.validateURL(service); err != nil {
			return err
		}
	}
	return nil
}

// validateURL fills in where a service is, and checks that nobody listens on the way.
func (c *servicesConfig) validateURL(service string) error {
	setting, scheme, value := "TRADESAGE_"+strings.ToUpper(service)+"_URL", "http", c.url(service)
	if c.Certs != "" {
		scheme = "https"
	}
	if *value == "" {
		*value = scheme + "://" + c.listen(service) + "/graphql"
	}
	u, err := url.Parse(*value)
	if err != nil || u.Host == "" || u.User != nil {
		return fmt.Errorf("%s: %q is not a URL as %s://host:port/graphql", setting, *value, scheme)
	}
	if u.Scheme != scheme {
		return fmt.Errorf("%s: must begin with %s:// %s", setting, scheme, map[bool]string{
			true:  "where TRADESAGE_SERVICE_CERTS is set",
			false: "where TRADESAGE_SERVICE_CERTS is not",
		}[c.Certs != ""])
	}
	if c.Certs == "" && !loopback(u.Hostname()) {
		return fmt.Errorf("%s: %s is another machine; set TRADESAGE_SERVICE_CERTS", setting, u.Hostname())
	}
	return nil
}

// loopback is whether only this machine reaches host.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// certificates loads what a service proves itself with, or nothing where the
// processes share a machine.
func (c servicesConfig) certificates(service string, logger *slog.Logger) (*mtls.Credentials, error) {
	if c.Certs == "" {
		return nil, nil //nolint:nilnil // no certificates is no fault
	}
	in := func(name string) string { return filepath.Join(c.Certs, name) }
	loaded, err := mtls.Load(mtls.Options{
		Files:  mtls.Files{Cert: in(service + ".crt"), Key: in(service + ".key"), CA: in("ca.crt")},
		Logger: logger.With("certificate", service),
	})
	if err != nil {
		return nil, fmt.Errorf("TRADESAGE_SERVICE_CERTS: %w", err)
	}
	return loaded, nil
}
