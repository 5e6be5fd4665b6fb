package audit_test

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/audit"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/telemetry"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// event is a row of either record.
type event struct {
	ID                      uuid.UUID
	Tenant, Actor, Session  *uuid.UUID
	Action, Target, Request string
	Details                 string
	CreatedAt               time.Time
}

func read(t *testing.T, e *dbtest.Env, schema, target string) (found []event) {
	t.Helper()
	rows, err := e.Connect(t, "postgres").Query(context.Background(), `SELECT id, tenant_id, actor_id, session_id, action, target, request_id,
		details::text, created_at FROM `+schema+`.audit_events WHERE target = $1`, target)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var r event
		if err := rows.Scan(&r.ID, &r.Tenant, &r.Actor, &r.Session, &r.Action, &r.Target, &r.Request, &r.Details, &r.CreatedAt); err != nil {
			t.Fatal(err)
		}
		found = append(found, r)
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return found
}

func asCaller(t *testing.T, tenant db.Tenant) (context.Context, *identity.Caller) {
	caller := &identity.Caller{Subject: uuid.New(), Session: uuid.New(), Tenant: tenant}
	return telemetry.WithRequestID(identity.NewContext(t.Context(), caller), "request-1"), caller
}

func TestRecordPlatform(t *testing.T) {
	t.Parallel()
	e := dbtest.New(t)
	tenant := e.Tenant(t)
	ctx, caller := asCaller(t, tenant)
	id, target := tenant.ID(), uuid.NewString()
	q := e.DB.Store(db.ServiceAuth).PlatformFor(tenant)
	if err := audit.RecordPlatform(ctx, q.Queries, &id, audit.Event{Action: "test.done", Target: target, Details: map[string]int{"n": 1}}); err != nil {
		t.Fatal(err)
	}
	got := read(t, e, "platform", target)
	if len(got) != 1 {
		t.Fatalf("%d events", len(got))
	}
	want := event{
		ID: got[0].ID, Tenant: &id, Actor: &caller.Subject, Session: &caller.Session, Action: "test.done", Target: target,
		Request: "request-1", Details: `{"n": 1}`, CreatedAt: got[0].CreatedAt,
	}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Fatal(diff)
	}
	if got[0].ID.Version() != 7 {
		t.Errorf("id %s", got[0].ID)
	}
	other := uuid.New()
	if err := audit.RecordPlatform(ctx, q.Queries, &other, audit.Event{Action: "test.done"}); err == nil {
		t.Error("a tenant's scope writes another tenant's event")
	}
}

func TestATenantsEventIsCopiedToThePlatformOnce(t *testing.T) {
	t.Parallel()
	e := dbtest.New(t)
	tenant := e.Tenant(t)
	ctx, caller := asCaller(t, tenant)
	target := uuid.NewString()
	err := e.DB.Store(db.ServiceUser).Tenant(tenant).Tx(ctx, func(q *tenantdb.Queries) error {
		return audit.RecordTenant(ctx, q, audit.Event{Action: "test.done", Target: target, Details: []string{"a"}})
	})
	if err != nil {
		t.Fatal(err)
	}
	conn := e.Connect(t, "postgres")
	var schema string
	if err := conn.QueryRow(ctx, "SELECT schema_name FROM platform.tenants WHERE id = $1", tenant.ID()).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	own := read(t, e, schema, target)
	if len(own) != 1 || *own[0].Actor != caller.Subject {
		t.Fatalf("the tenant's record: %+v", own)
	}
	var body json.RawMessage
	if err := conn.QueryRow(ctx, "SELECT body FROM platform.outbox WHERE kind = 'audit.copy' AND tenant_id = $1", tenant.ID()).Scan(&body); err != nil {
		t.Fatal(err)
	}
	relay := e.DB.PlatformStore(db.ServiceRelay)
	for range 2 {
		err := relay.Platform().Tx(ctx, func(q *platformdb.Queries) error {
			return audit.CopyToPlatform(ctx, q, tenant.ID(), body)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(own, read(t, e, "platform", target)); diff != "" {
		t.Fatal(diff)
	}
	if err := audit.CopyToPlatform(ctx, relay.Platform().Queries, tenant.ID(), json.RawMessage(`[]`)); err == nil {
		t.Error("a spoiled body is no error")
	}
}

func TestHostileEventsAreStored(t *testing.T) {
	t.Parallel()
	e := dbtest.New(t)
	tenant := e.Tenant(t)
	id := tenant.ID()
	ctx := telemetry.WithRequestID(t.Context(), "r\x00\xff"+strings.Repeat("x", 100))
	q := e.DB.PlatformStore(db.ServiceAuth).Platform()
	for name, test := range map[string]struct {
		event   audit.Event
		details string
	}{
		"nothing":           {audit.Event{}, `{}`},
		"NUL":               {audit.Event{Target: "a\x00b", Details: map[string]any{"k\x00": []any{"v\x00", 1.5}}}, `{"k": ["v", 1.5]}`},
		"an escape's text":  {audit.Event{Details: `\u0000`}, `"\\u0000"`},
		"invalid UTF-8":     {audit.Event{Target: "\xff\xfe", Details: "\xff"}, `"�"`},
		"a large number":    {audit.Event{Details: map[string]any{"n": uint64(1 << 63), "s": "\x00"}}, `{"n": 9223372036854775808, "s": ""}`},
		"giant details":     {audit.Event{Details: strings.Repeat("x", 1<<20)}, `{"omitted": "details larger than 16 KiB"}`},
		"giant target":      {audit.Event{Target: strings.Repeat("ж", 1000)}, `{}`},
		"invalid details":   {audit.Event{Details: json.RawMessage(`{"a"`)}, ""},
		"details of a func": {audit.Event{Details: func() {}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.event.Action, test.event.ID = "test.hostile", uuid.New()
			err := audit.RecordPlatform(ctx, q.Queries, &id, test.event)
			if test.details == "" {
				if err == nil {
					t.Fatal("no error")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var details string
			if err := e.Connect(t, "postgres").QueryRow(t.Context(), "SELECT details::text FROM platform.audit_events WHERE id = $1",
				test.event.ID).Scan(&details); err != nil {
				t.Fatal(err)
			}
			if details != test.details {
				t.Fatalf("got %s, want %s", details, test.details)
			}
		})
	}
}

func TestNoEventWithoutItsChange(t *testing.T) {
	t.Parallel()
	e := dbtest.New(t)
	target := uuid.NewString()
	ctx, cancel := context.WithCancel(t.Context())
	err := e.DB.PlatformStore(db.ServiceAuth).Platform().Tx(ctx, func(q *platformdb.Queries) error {
		if err := audit.RecordPlatform(ctx, q, nil, audit.Event{Action: "test.done", Target: target}); err != nil {
			t.Error(err)
		}
		cancel()
		return ctx.Err()
	})
	if err == nil || len(read(t, e, "platform", target)) != 0 {
		t.Fatalf("%v, and an event", err)
	}
}
