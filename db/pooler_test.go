package db_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	osexec "os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/dbtest"
)

// pgbouncer starts Debian's PgBouncer before the test database, in transaction
// mode with two server connections a login, and returns the database's URL there.
func pgbouncer(t *testing.T, env *dbtest.Env) string {
	t.Helper()
	program, err := osexec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // installed by scripts/setup.sh pgbouncer
	}
	target, err := pgx.ParseConfig(env.URL)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "pgbouncer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var users strings.Builder
	for login, password := range db.Passwords(dbtest.Secret, dbtest.Shards, db.ServiceUser, db.ServiceTenant) {
		fmt.Fprintf(&users, "%q %q\n", login, password)
	}
	config := fmt.Sprintf(`[databases]
%[1]s = host=%[2]s port=%[3]d dbname=%[1]s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %[4]d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %[5]s/users.txt
pool_mode = transaction
default_pool_size = 2
max_client_conn = 500
ignore_startup_parameters = extra_float_digits
`, target.Database, target.Host, target.Port, port, dir)
	for name, text := range map[string]string{"pgbouncer.ini": config, "users.txt": users.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var output bytes.Buffer
	cmd := osexec.Command(program, filepath.Join(dir, "pgbouncer.ini"))
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if os.Getuid() == 0 { // it refuses to run as root
		lowerTo(t, cmd, dir, "postgres")
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	deadline, tick := time.After(20*time.Second), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return "postgres://" + address + "/" + target.Database + "?sslmode=disable"
		}
		select {
		case <-ended:
			t.Fatalf("pgbouncer ended\n%s", output.String())
		case <-deadline:
			t.Fatal("pgbouncer did not listen within 20 s")
		case <-tick.C:
		}
	}
}

// lowerTo has the child run as an account that may read its folder.
func lowerTo(t *testing.T, cmd *osexec.Cmd, dir, name string) {
	t.Helper()
	account, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(account.Gid)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "pgbouncer.ini"), filepath.Join(dir, "users.txt")} {
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func TestThroughATransactionPooler(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	url := pgbouncer(t, env)
	pooled, err := db.Open(db.Config{URL: url, Secret: dbtest.Secret, Pooler: db.PoolerTransaction, ConnsPerShard: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pooled.Close)
	store := pooled.Store(db.ServiceUser)
	// Tenants of one shard share two server connections, so that each statement
	// may meet what another tenant's left behind.
	tenants := make([]db.Tenant, 2*dbtest.Shards)
	for i := range tenants {
		tenants[i] = env.Tenant(t)
	}
	var mu sync.Mutex
	failures := map[string]int{}
	group, ctx := errgroup.WithContext(t.Context())
	for worker := range 16 {
		// One person of this worker in each tenant: UpsertUser is not for two who
		// insert the same person at the same moment.
		people := make([]uuid.UUID, len(tenants))
		for i := range people {
			people[i] = uuid.New()
		}
		group.Go(func() error {
			mine := worker % len(tenants)
			for round := range 40 {
				if err := useTenant(ctx, store.Tenant(tenants[mine]), people[mine], people[(mine+1)%len(people)], round%2 == 0); err != nil {
					mu.Lock()
					failures[err.Error()]++
					mu.Unlock()
				}
				mine = (mine + 1) % len(tenants)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for failure, n := range failures {
		t.Errorf("%d times: %s", n, failure)
	}
}

// useTenant writes and reads one person, and asks for another tenant's.
func useTenant(ctx context.Context, q db.TenantQueries, own, foreign uuid.UUID, inTx bool) error {
	person := tenantdb.UpsertUserParams{ID: own, Email: own.String() + "@example.test", DisplayName: "A"}
	work := func(q *tenantdb.Queries) error {
		if _, err := q.UpsertUser(ctx, person); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		if found, err := q.GetUser(ctx, own); err != nil || found.Email != person.Email {
			return fmt.Errorf("read own: %w", err)
		}
		if found, err := q.GetUser(ctx, foreign); err == nil {
			return fmt.Errorf("another tenant's row was read: %s", found.ID)
		}
		return nil
	}
	if inTx {
		return q.Tx(ctx, work)
	}
	return work(q.Queries)
}

func TestAttacksThroughATransactionPooler(t *testing.T) {
	t.Parallel()
	env := dbtest.New(t)
	url := pgbouncer(t, env)
	a, b := twoTenants(t, env, true)
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.User, config.Password = a.login, db.Password(dbtest.Secret, a.login)
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	for range 4 { // whichever server connection it gets
		tx := begin(t, conn)
		enter(t, tx, a.schema, a.id)
		refused(t, tx, insufficientPrivilege, "SELECT * FROM "+b.schema+".users")
		refused(t, tx, insufficientPrivilege, "SELECT set_config('role', '"+b.schema+"', true)")
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Nothing of the switch is left for who comes next.
		var role, tenant string
		if err := conn.QueryRow(t.Context(), "SELECT current_user::text, coalesce(current_setting('app.tenant_id', true), '')").Scan(&role, &tenant); err != nil {
			t.Fatal(err)
		}
		if role != a.login || tenant != "" {
			t.Errorf("after the transaction: role %s, tenant %q", role, tenant)
		}
	}
	// Another login's password is no key here either.
	config.Password = db.Password(dbtest.Secret, "svc_user")
	if stranger, err := pgx.ConnectConfig(t.Context(), config); err == nil {
		_ = stranger.Close(context.Background())
		t.Error("a wrong password is accepted by the pooler")
	}
}
