package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/tenant"
)

// adminCommand is for operators, who hold the installation's secrets.
type adminCommand struct {
	Invite adminInviteCommand `cmd:"" help:"Invite somebody to the built-in tenant as a platform administrator, by mail and by the link that is printed. It makes the tenant where there is none."`
}

type adminInviteCommand struct {
	Email     string         `arg:"" help:"Address of who will run the platform."`
	Database  databaseConfig `embed:""`
	MasterKey string         `name:"master-key" env:"TRADESAGE_MASTER_KEY" help:"Encrypts the token keys at rest: base64 of 32 bytes. The key of invitations is derived from it."`
	PublicURL string         `env:"TRADESAGE_PUBLIC_URL" help:"URL under which people reach the platform, for the link; must be that of the serving processes."`
}

// Run invites and prints the link. The mail leaves as soon as a process serves auth
// and has a mail server.
func (i adminInviteCommand) Run(ctx context.Context) error {
	c := config{Database: i.Database, PublicURL: i.PublicURL, Identity: identityConfig{MasterKey: i.MasterKey}}
	if c.PublicURL == "" {
		return errors.New("TRADESAGE_PUBLIC_URL: must be set, for the link of the invitation")
	}
	if err := c.validatePublicURL(); err != nil {
		return err
	}
	invitations, err := c.invitationMails()
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	opened, err := c.Database.open(logger)
	if err != nil {
		return err
	}
	defer opened.Close()
	store := opened.PlatformStore(db.ServiceTenant)
	tenants, err := tenant.New(tenant.Options{
		Store: store, Invitations: invitations, Refiller: tenant.NewRefiller(store, 0, logger), Now: time.Now, Logger: logger,
	})
	if err != nil {
		return err
	}
	invitation, err := tenants.InviteAdministrator(ctx, i.Email)
	if err != nil {
		return err
	}
	return printInvitation(os.Stdout, invitation)
}

func printInvitation(w io.Writer, i *tenant.AdministratorInvitation) error {
	_, err := fmt.Fprintf(w, "%s is invited as %s until %s. Whoever has this link may accept:\n%s\n",
		i.Email, tenant.RolePlatformAdmin, i.ExpiresAt.Format(time.RFC3339), i.Link)
	return err
}
