package housekeeping_test

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/housekeeping"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// rows puts one row that has long expired and one that has not into each table.
const rows = `
INSERT INTO platform.identities (id, email) VALUES ('00000000-0000-0000-0000-000000000001', 'a@a.test');
INSERT INTO platform.sessions (id, tenant_id, identity_id, device_id, amr, auth_time, expires_at)
SELECT id::uuid, '%T', '00000000-0000-0000-0000-000000000001', id::uuid, '{pwd}', now(), expires FROM (VALUES
    ('00000000-0000-0000-0000-00000000000a', now() - interval '31 days'),
    ('00000000-0000-0000-0000-00000000000b', now() - interval '29 days')) v (id, expires);
INSERT INTO platform.refresh_tokens (hash, session_id, expires_at) VALUES
    (sha256('a'), '00000000-0000-0000-0000-00000000000a', now()),
    (sha256('b'), '00000000-0000-0000-0000-00000000000b', now());
INSERT INTO platform.idempotency_keys (actor_id, operation, key, request_hash, result, created_at)
SELECT gen_random_uuid(), 'x', n::text, '', gen_random_uuid(), now() - interval '25 hours' FROM generate_series(1, 2500) n;
INSERT INTO platform.idempotency_keys (actor_id, operation, key, request_hash, result, created_at)
VALUES (gen_random_uuid(), 'x', 'young', '', gen_random_uuid(), now() - interval '23 hours');
INSERT INTO platform.outbox (kind, body, created_at) VALUES
    ('never.known', '{}', now() - interval '31 days'), ('not.yet', '{}', now() - interval '29 days')`

func TestSweepDeletesWhatHasLongExpired(t *testing.T) {
	t.Parallel()
	env, ctx := dbtest.NewDatabase(t), t.Context()
	tenant, admin := env.Tenant(t), env.Connect(t, "postgres")
	if _, err := admin.Exec(ctx, strings.ReplaceAll(rows, "%T", tenant.ID().String())); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	sweeper := housekeeping.New(housekeeping.Options{
		Store: env.DB.PlatformStore(db.ServiceRelay), Now: time.Now, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	for range 2 {
		if err := sweeper.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		left := map[string]int{}
		for _, table := range []string{"sessions", "refresh_tokens", "idempotency_keys", "outbox"} {
			var n int
			if err := admin.QueryRow(ctx, "SELECT count(*) FROM platform."+table).Scan(&n); err != nil {
				t.Fatal(err)
			}
			left[table] = n
		}
		if diff := cmp.Diff(map[string]int{"sessions": 1, "refresh_tokens": 1, "idempotency_keys": 1, "outbox": 1}, left); diff != "" {
			t.Error(diff)
		}
	}
	for _, want := range []string{"kind=never.known", `what="idempotency keys" rows=2500`} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("%q is not said once in\n%s", want, log.String())
		}
	}
}

// Even a wrong clock deletes nothing that is in force.
func TestTheDatabaseBoundsTheSweep(t *testing.T) {
	t.Parallel()
	env, ctx := dbtest.NewDatabase(t), t.Context()
	tenant, admin := env.Tenant(t), env.Connect(t, "postgres")
	if _, err := admin.Exec(ctx, `
		INSERT INTO platform.identities (id, email) VALUES ('00000000-0000-0000-0000-000000000001', 'a@a.test');
		INSERT INTO platform.sessions (id, tenant_id, identity_id, device_id, amr, auth_time, expires_at)
		VALUES (gen_random_uuid(), '`+tenant.ID().String()+`', '00000000-0000-0000-0000-000000000001', gen_random_uuid(), '{pwd}', now(), now() + interval '1 day')`); err != nil {
		t.Fatal(err)
	}
	sweeper := housekeeping.New(housekeeping.Options{
		Store: env.DB.PlatformStore(db.ServiceRelay), Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Now().AddDate(10, 0, 0) },
	})
	if err := sweeper.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	var sessions int
	if err := admin.QueryRow(ctx, "SELECT count(*) FROM platform.sessions").Scan(&sessions); err != nil {
		t.Fatal(err)
	}
	if sessions != 1 {
		t.Errorf("%d sessions are left, want 1", sessions)
	}
}
