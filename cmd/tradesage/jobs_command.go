package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/tradesage/tradesage/db/jobs"
)

// jobsCommand shows operators what follows from committed changes and has not
// been done. It shows no bodies: mails carry codes.
type jobsCommand struct {
	Database databaseConfig `embed:""`
	GivenUp  bool           `name:"given-up" help:"Show only jobs that will not run again by themselves."`
	Limit    int            `default:"100" help:"Most jobs to show, 1 to 1000."`
	Retry    []int64        `placeholder:"ID" help:"Run these jobs once more, at once."`
	Delete   []int64        `placeholder:"ID" help:"Drop these jobs: what they were to do will not happen."`
}

// Run retries and deletes what it was told to, then lists.
func (j jobsCommand) Run(ctx context.Context) error {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	database, err := j.Database.open(logger)
	if err != nil {
		return err
	}
	defer database.Close()
	queue, err := database.Jobs(jobs.Options{Logger: logger})
	if err != nil {
		return err
	}
	for _, id := range j.Retry {
		if err := queue.Retry(ctx, id); err != nil {
			return fmt.Errorf("retry %d: %w", id, err)
		}
	}
	for _, id := range j.Delete {
		if err := queue.Delete(ctx, id); err != nil {
			return fmt.Errorf("delete %d: %w", id, err)
		}
	}
	all, err := queue.Unfinished(ctx, j.GivenUp, j.Limit)
	if err != nil {
		return err
	}
	return listJobs(os.Stdout, all)
}

func listJobs(w io.Writer, all []jobs.Unfinished) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tKIND\tSTATE\tTENANT\tSINCE\tATTEMPTS\tNEXT OR ENDED\tLAST ERROR")
	for _, job := range all {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%d/%d\t%s\t%.120q\n", job.ID, job.Kind, job.State, job.TenantID,
			job.CausedAt.UTC().Format(time.RFC3339), job.Attempt, job.MaxAttempts, job.NextAt.UTC().Format(time.RFC3339), job.LastError)
	}
	return table.Flush()
}
