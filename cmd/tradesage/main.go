// Command tradesage is the whole of TradeSage in one program: the services, the
// migrations, and a development server that brings its own databases.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is set by the linker.
var version = "development"

// commands are the program's commands and their flags.
type commands struct {
	Dev         devCommand         `cmd:"" help:"Serve everything on this machine, with private databases, seeded tenants and a dev mailbox."`
	Serve       serveCommand       `cmd:"" help:"Serve everything against the configured PostgreSQL and Redis."`
	Migrate     migrateCommand     `cmd:"" help:"Bring the platform's schema and every tenant's schema up to date."`
	Jobs        jobsCommand        `cmd:"" help:"List what follows from changes and is not done; retry or drop it."`
	Certs       certsCommand       `cmd:"" help:"Make a development authority and the services' certificates, or renew them."`
	Credentials credentialsCommand `cmd:"" help:"Write the file with what one service's process needs to know, for TRADESAGE_DATABASE_CREDENTIALS_FILE."`
	Keys        keysCommand        `cmd:"" help:"List or rotate the keys of access tokens."`
	Admin       adminCommand       `cmd:"" help:"Invite who runs the platform."`
	Tenant      tenantCommand      `cmd:"" help:"Change what operators decide about a tenant."`
	Health      healthCommand      `cmd:"" help:"Ask a process whether it is ready; exit code 1 if it is not."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
}

type versionCommand struct{}

// Run prints the version and what built it.
func (versionCommand) Run() error {
	_, err := fmt.Printf("tradesage %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "tradesage:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var cli commands
	parser, err := kong.New(&cli,
		kong.Name("tradesage"),
		kong.Description("The backend of a multi-tenant trading platform: one federated GraphQL API."))
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if err != nil {
		return fmt.Errorf("%w (tradesage --help lists commands and flags)", err)
	}
	// The first signal asks for an orderly end; a second one ends at once.
	ctx, stop := signal.NotifyContext(context.Background(), endsWith(cli.Serve.Config)...)
	defer stop()
	context.AfterFunc(ctx, stop)
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(strangers(parser.Model, os.Environ()))
	err = command.Run()
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil // asked to end
	}
	return err
}

// endsWith are the signals that end the program. A hangup has another meaning where
// there is a file to read again.
func endsWith(c config) []os.Signal {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !c.Supergraph.given() && c.Limits.File == "" && c.Operations.Manifest == "" {
		ends = append(ends, syscall.SIGHUP)
	}
	return ends
}
