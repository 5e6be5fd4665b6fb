package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/jobs"
	"github.com/tradesage/tradesage/internal/audit"
	"github.com/tradesage/tradesage/internal/auth"
	"github.com/tradesage/tradesage/internal/events"
	"github.com/tradesage/tradesage/internal/housekeeping"
	"github.com/tradesage/tradesage/internal/mail"
	"github.com/tradesage/tradesage/internal/tenant"
	"github.com/tradesage/tradesage/internal/user"
)

// The queues, which do not wait for each other: a mail server that hangs holds
// up mail alone.
const (
	queueTenants = "tenants"
	queueMail    = "mail"
	queueUpkeep  = "upkeep"
)

// overdue is how long an event or a job may wait before /readyz names it.
const overdue = time.Minute

// work is what follows from committed changes: the relay and the queue.
type work struct {
	relay *db.Relay
	queue *jobs.Client
	// mails is false where no mail server is configured: then mail waits.
	mails bool
}

// buildJobs makes the relay and the queue, each with all that it knows to do.
func (a *app) buildJobs(m mode, users *user.Users, hub *events.Hub) (work, error) {
	sender, err := a.buildMail(m)
	if err != nil {
		return work{}, err
	}
	w := work{mails: sender != nil}
	queues := map[string]int{queueTenants: 4, queueUpkeep: 1}
	if w.mails {
		queues[queueMail] = 4
	} else {
		a.logger.Warn("TRADESAGE_SMTP_HOST is not set: mail waits until it is")
	}
	relayed := a.db.PlatformStore(db.ServiceRelay)
	w.queue, err = a.db.Jobs(jobs.Options{
		Kinds: a.kinds(relayed, sender, users), Queues: queues, Drain: a.config.DrainTime,
		GivenUp: func(ctx context.Context, j jobs.Job, err error) { a.auditGivenUp(ctx, relayed, j, err) },
		Logger:  a.logger, Metrics: a.registry,
	})
	if err != nil {
		return work{}, err
	}
	w.relay = db.NewRelay(relayed, a.logger, a.handlers(relayed, hub))
	w.relay.HandOverTo(w.queue)
	a.registry.MustRegister(w)
	return w, nil
}

// handlers are for events that are no jobs: they are cheap, and wait for nothing
// but the database and Redis.
func (a *app) handlers(relayed *db.PlatformStore, hub *events.Hub) map[string]db.OutboxHandler {
	announce := func(ctx context.Context, e db.OutboxEvent) error {
		activity, err := audit.Activity(e.Body)
		if err != nil {
			return err
		}
		return hub.Append(ctx, e.TenantID, activity)
	}
	return map[string]db.OutboxHandler{
		"audit.copy": func(ctx context.Context, e db.OutboxEvent) error {
			if err := audit.CopyToPlatform(ctx, relayed.Platform().Queries, e.TenantID, e.Body); err != nil {
				return err
			}
			return announce(ctx, e)
		},
		"audit.activity": announce,
		events.KindLive:  hub.Handle,
	}
}

// kinds says who does what follows from a committed change, and how often it is
// tried. Every handler may run twice for one job.
func (a *app) kinds(relayed *db.PlatformStore, sender mail.Sender, users *user.Users) []jobs.Kind {
	// inTenant is for handlers that work in the job's tenant.
	inTenant := func(handle func(context.Context, db.Tenant, json.RawMessage) error) jobs.Handler {
		return func(ctx context.Context, j jobs.Job) error {
			tenant, _, err := relayed.Resolve(ctx, j.TenantID)
			if err != nil {
				return err
			}
			return handle(ctx, tenant, j.Body)
		}
	}
	return []jobs.Kind{
		{ // about a day
			Name: tenant.KindProvision, Queue: queueTenants, MaxAttempts: 300, Unique: true,
			Handle: func(ctx context.Context, j jobs.Job) error { return a.tenants.ProvisionStep(ctx, j.TenantID, j.Body) },
		},
		{ // about a day
			Name: tenant.KindFound, Queue: queueTenants, MaxAttempts: 300, Unique: true, Handle: fromPlatform(a.tenants.FoundStep),
		},
		{ // as long as a registration waits
			Name: auth.KindChallenge, Queue: queueTenants, MaxAttempts: 300, Timeout: 10 * time.Second, Handle: fromPlatform(a.auth.HandleChallenge),
		},
		{ // about a day
			Name: auth.KindInvitationAccepted, Queue: queueTenants, MaxAttempts: 300, Unique: true, Handle: fromPlatform(a.auth.HandleInvitationAccepted),
		},
		{ // about eight hours
			Name: auth.KindSessionStarted, Queue: queueTenants, MaxAttempts: 100, Timeout: 10 * time.Second,
			Handle: inTenant(a.auth.HandleSessionStarted),
		},
		{ // about eight hours
			Name: user.KindPermissionsChanged, Queue: queueTenants, MaxAttempts: 100, Timeout: 10 * time.Second,
			Handle: inTenant(users.HandlePermissionsChanged),
		},
		{ // about eight hours
			Name: user.KindDeactivated, Queue: queueTenants, MaxAttempts: 100, Timeout: 10 * time.Second,
			Handle: inTenant(users.HandleDeactivated),
		},
		{ // about a day: a mail server may be away for a night
			Name: mail.Kind, Queue: queueMail, MaxAttempts: 100, FirstDelay: 2 * time.Second, MaxDelay: 15 * time.Minute, Unique: true,
			Handle: fromPlatform(func(ctx context.Context, body json.RawMessage) error {
				return refusedForGood(mail.Deliver(ctx, sender, body))
			}),
		},
		{ // likewise
			Name: tenant.KindInvitationMail, Queue: queueMail, MaxAttempts: 100, FirstDelay: 2 * time.Second, MaxDelay: 15 * time.Minute, Unique: true,
			Handle: a.mailInvitation(sender),
		},
		{
			Name: housekeeping.Kind, Queue: queueUpkeep, MaxAttempts: 3, Timeout: jobs.MaxTimeout, Every: 10 * time.Minute,
			Handle: fromPlatform(func(ctx context.Context, _ json.RawMessage) error {
				sweeper := housekeeping.New(housekeeping.Options{Store: relayed, Now: time.Now, Logger: a.logger})
				return errors.Join(sweeper.Sweep(ctx), a.auth.Housekeep(ctx))
			}),
		},
	}
}

// fromPlatform is for work that only the platform may cause: what a tenant emits
// carries the tenant's id, and is refused.
func fromPlatform(handle func(context.Context, json.RawMessage) error) jobs.Handler {
	return func(ctx context.Context, j jobs.Job) error {
		if j.TenantID != uuid.Nil {
			return jobs.Permanent(fmt.Errorf("tenant %s may not cause this", j.TenantID))
		}
		return handle(ctx, j.Body)
	}
}

// mailInvitation writes and sends the letter of an invitation that a tenant names.
func (a *app) mailInvitation(sender mail.Sender) jobs.Handler {
	return func(ctx context.Context, j jobs.Job) error {
		letter, err := a.tenants.InvitationMail(ctx, j.TenantID, j.Body)
		if errors.Is(err, tenant.ErrForgedInvitation) {
			return jobs.Permanent(err)
		}
		if err != nil || letter == nil {
			return err
		}
		return refusedForGood(mail.Send(ctx, sender, *letter))
	}
}

// refusedForGood marks what a mail server will never take: it is not sent again.
func refusedForGood(err error) error {
	if mail.Refused(err) {
		return jobs.Permanent(err)
	}
	return err
}

// buildMail returns the sender that the configuration asks for, or nil.
func (a *app) buildMail(m mode) (mail.Sender, error) {
	if m == modeDev {
		a.mailbox = mail.NewMailbox(time.Now)
		return a.mailbox, nil
	}
	c := a.config.Mail
	if c.Host == "" {
		return nil, nil //nolint:nilnil // no sender is no fault
	}
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	return mail.NewSMTP(mail.SMTPOptions{
		Host: c.Host, Port: c.Port, From: c.From, Username: c.User, Password: c.Password, Plaintext: c.Plaintext, RootCAs: roots,
	})
}

// auditGivenUp records that something which should have followed never will. The
// error stays in the log and with the job, where operators look.
func (a *app) auditGivenUp(ctx context.Context, relayed *db.PlatformStore, j jobs.Job, _ error) {
	var of *uuid.UUID
	if j.TenantID != uuid.Nil {
		of = &j.TenantID
	}
	err := audit.RecordPlatform(ctx, relayed.Platform().Queries, of, audit.Event{
		Action: "job.give_up", Target: fmt.Sprint(j.ID), Details: map[string]any{"kind": j.Kind, "attempts": j.Attempt},
	})
	if err != nil {
		a.logger.ErrorContext(ctx, "no audit event of a job that was given up", "job", j.ID, "error", err)
	}
}

// checks are what /readyz asks of the outbox and the queue. Requests go on
// without both.
func (w work) checks() []check {
	all := []check{
		{"outbox", func(ctx context.Context) (late []string, err error) {
			backlog, err := w.relay.Backlog(ctx)
			for _, b := range backlog {
				if b.Oldest > overdue {
					late = append(late, fmt.Sprintf("%d events %s wait, the first for %s", b.Rows, b.Kind, b.Oldest.Round(time.Second)))
				}
			}
			return late, err
		}, dispensable},
		{"jobs", func(ctx context.Context) (late []string, err error) {
			counts, err := w.queue.Counts(ctx)
			for _, c := range counts {
				if c.Overdue > overdue && (w.mails || c.Kind != mail.Kind && c.Kind != tenant.KindInvitationMail) {
					late = append(late, fmt.Sprintf("%d jobs %s wait, the first for %s", c.Jobs, c.Kind, c.Overdue.Round(time.Second)))
				}
			}
			return late, err
		}, dispensable},
	}
	if !w.mails {
		all = append(all, check{"mail", func(context.Context) ([]string, error) {
			return []string{"TRADESAGE_SMTP_HOST is not set: mail waits"}, nil
		}, dispensable})
	}
	return all
}

var (
	jobsMetric = prometheus.NewDesc("tradesage_jobs",
		"Jobs in the database by kind and state, as every process sees them.", []string{"kind", "state"}, nil)
	overdueMetric = prometheus.NewDesc("tradesage_jobs_overdue_seconds",
		"How long the oldest job that could run has waited.", []string{"kind"}, nil)
	outboxMetric = prometheus.NewDesc("tradesage_outbox_events",
		"Events in the outbox, as every process sees them.", []string{"kind"}, nil)
	outboxAgeMetric = prometheus.NewDesc("tradesage_outbox_oldest_seconds",
		"Age of the oldest event in the outbox.", []string{"kind"}, nil)
)

// Describe implements prometheus.Collector.
func (w work) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{jobsMetric, overdueMetric, outboxMetric, outboxAgeMetric} {
		descriptions <- d
	}
}

// Collect implements prometheus.Collector; what the database does not answer is
// left out.
func (w work) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if backlog, err := w.relay.Backlog(ctx); err == nil {
		for _, b := range backlog {
			gauge(outboxMetric, float64(b.Rows), b.Kind)
			gauge(outboxAgeMetric, b.Oldest.Seconds(), b.Kind)
		}
	}
	counts, err := w.queue.Counts(ctx)
	if err != nil {
		return
	}
	kinds := w.queue.Kinds()
	slices.Sort(kinds)
	waits := map[string]float64{}
	for _, c := range counts {
		gauge(jobsMetric, float64(c.Jobs), c.Kind, c.State)
		waits[c.Kind] = max(waits[c.Kind], c.Overdue.Seconds())
	}
	for _, kind := range kinds {
		gauge(overdueMetric, waits[kind], kind)
	}
}
