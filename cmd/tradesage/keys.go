package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/auth"
)

// longestToken is the most that TRADESAGE_ACCESS_TOKEN_TTL may be: whatever the
// services use, a key is kept for long enough.
const longestToken = time.Hour

// keysCommand is for the keys of access tokens.
type keysCommand struct {
	List   keysListCommand   `cmd:"" help:"List the signing and claim keys with their states."`
	Rotate keysRotateCommand `cmd:"" help:"Make the next keys active, retire the active ones and publish new next ones. No valid token becomes invalid."`
}

type keysListCommand struct {
	Database databaseConfig `embed:""`
}

// Run prints the keys; nothing of them is secret.
func (k keysListCommand) Run(ctx context.Context) error {
	return withKeys(k.Database, nil, func(keys *auth.Keys) error {
		return printKeys(ctx, os.Stdout, keys)
	})
}

type keysRotateCommand struct {
	Database  databaseConfig `embed:""`
	MasterKey string         `name:"master-key" env:"TRADESAGE_MASTER_KEY" help:"Encrypts the token keys at rest: base64 of 32 bytes."`
}

// Run rotates the keys and prints them. It fails within two minutes of the last
// rotation: not everybody may know the next keys yet.
func (k keysRotateCommand) Run(ctx context.Context) error {
	c := config{Database: k.Database, Identity: identityConfig{MasterKey: k.MasterKey}}
	master, err := c.masterKey()
	if err != nil {
		return err
	}
	sealer, err := auth.NewSealer(master)
	if err != nil {
		return fmt.Errorf("TRADESAGE_MASTER_KEY: %w", err)
	}
	return withKeys(k.Database, sealer, func(keys *auth.Keys) error {
		if err := keys.Rotate(ctx); err != nil {
			return err
		}
		return printKeys(ctx, os.Stdout, keys)
	})
}

// withKeys opens the database for the keys alone.
func withKeys(c databaseConfig, sealer *auth.Sealer, fn func(*auth.Keys) error) error {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	opened, err := c.open(logger)
	if err != nil {
		return err
	}
	defer opened.Close()
	return fn(auth.NewKeys(auth.KeysOptions{
		Store: opened.PlatformStore(db.ServiceAuth), Sealer: sealer, TokenLifetime: longestToken, Logger: logger,
	}))
}

func printKeys(ctx context.Context, w io.Writer, keys *auth.Keys) error {
	all, err := keys.List(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KIND\tID\tSTATE\tMADE\tACTIVE\tRETIRED")
	for _, key := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", key.Kind, key.ID, key.State, moment(&key.Created), moment(key.Activated), moment(key.Retired))
	}
	return table.Flush()
}

func moment(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
