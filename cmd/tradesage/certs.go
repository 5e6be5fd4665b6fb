package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tradesage/tradesage/internal/mtls"
)

// certsCommand makes the certificates of an installation that has no authority
// of its own. Run again, it renews what has less than a third of its life left.
type certsCommand struct {
	Dir     string        `env:"TRADESAGE_CERTS" default:"certs" type:"path" help:"Folder of the authority and the certificates; made if absent."`
	Service []string      `help:"Only these services; router, auth, tenant, user and session by default."`
	Life    time.Duration `default:"168h" help:"Life of a service's certificate, 1m to 9552h."`
	Host    []string      `help:"Further host names and addresses that the certificates are good for."`
	Renew   bool          `help:"Make the services' certificates anew, whatever is left of their life."`

	Deliver string `type:"path" help:"Also copy ca.crt and the certificates and keys to this folder, for a service that may not see the authority."`

	NewAuthority      bool `help:"Sign with a new authority from now on. Certificates of the old one stay good until --forget-authorities."`
	ForgetAuthorities bool `help:"Trust only the newest authority from now on."`
}

// Run makes what is missing and prints what there is.
func (c certsCommand) Run() error {
	authority, err := mtls.OpenAuthority(c.Dir, time.Now)
	if err != nil {
		return err
	}
	if c.NewAuthority {
		if err := authority.Replace(); err != nil {
			return err
		}
		fmt.Printf("new authority in %s/ca.crt\n", c.Dir)
	}
	services := c.Service
	if len(services) == 0 {
		services = processes
	}
	for _, service := range services {
		expires, made, err := authority.Issue(mtls.Leaf{Service: service, Life: c.Life, Hosts: c.Host, Anew: c.Renew})
		if err != nil {
			return err
		}
		state := "kept"
		if made {
			state = "made"
		}
		fmt.Printf("%-8s %s, until %s\n", service, state, expires.UTC().Format(time.RFC3339))
	}
	if c.ForgetAuthorities {
		if err := authority.Forget(); err != nil {
			return err
		}
		fmt.Printf("only the newest authority is left in %s/ca.crt\n", c.Dir)
	}
	if c.Deliver == "" {
		return nil
	}
	return c.deliver(services)
}

// deliver copies what services prove themselves with. A service that runs takes it
// up when the pair fits together.
func (c certsCommand) deliver(services []string) error {
	names := []string{"ca.crt"}
	for _, service := range services {
		names = append(names, service+".crt", service+".key")
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(c.Dir, name))
		if err != nil {
			return err
		}
		if err := writeSecretFile(filepath.Join(c.Deliver, name), text); err != nil {
			return err
		}
	}
	fmt.Printf("delivered to %s: %s\n", c.Deliver, strings.Join(names, " "))
	return nil
}
