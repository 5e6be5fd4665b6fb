package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/graph"
	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/graph/subgraph"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/permission"
	"github.com/tradesage/tradesage/internal/session"
	"github.com/tradesage/tradesage/internal/tenant"
	"github.com/tradesage/tradesage/internal/user"
	sessiongraph "github.com/tradesage/tradesage/subgraphs/session"
	tenantgraph "github.com/tradesage/tradesage/subgraphs/tenant"
	usergraph "github.com/tradesage/tradesage/subgraphs/user"
)

// whole is the graph of a test database in this process: its router, and each
// subgraph behind the handler that its own port serves. The token of a request is
// a caller's name.
type whole struct {
	*dbtest.Env
	router    http.Handler
	subgraphs map[string]http.Handler
	tenants   *tenant.Tenants
	in        db.Tenant
	// behind runs a statement behind the scenes, schema names a tenant's, device
	// is a session's.
	behind func(t *testing.T, sql string, args ...any)
	schema func(t *testing.T, in db.Tenant) string
	device func(t *testing.T, session uuid.UUID) uuid.UUID

	mu         sync.Mutex
	statements []string
	callers    map[string]*identity.Caller
}

func newWhole(t *testing.T) *whole {
	t.Helper()
	env := dbtest.New(t)
	w := &whole{Env: env, subgraphs: map[string]http.Handler{}, callers: map[string]*identity.Caller{}}
	superuser := env.Connect(t, "postgres")
	w.behind = func(t *testing.T, sql string, args ...any) {
		t.Helper()
		if _, err := superuser.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	w.schema = func(t *testing.T, in db.Tenant) (name string) {
		t.Helper()
		if err := superuser.QueryRow(t.Context(), "SELECT schema_name FROM platform.tenants WHERE id = $1", in.ID()).Scan(&name); err != nil {
			t.Fatal(err)
		}
		return name
	}
	w.device = func(t *testing.T, session uuid.UUID) (id uuid.UUID) {
		t.Helper()
		if err := superuser.QueryRow(t.Context(), "SELECT device_id FROM platform.sessions WHERE id = $1", session).Scan(&id); err != nil {
			t.Fatal(err)
		}
		return id
	}
	store, quiet := env.Observed(t, w.observe), slog.New(slog.DiscardHandler)
	permissions := permission.New(permission.Options{Store: store.Store(db.ServiceUser)})
	invitations, err := tenant.NewInvitationMails([]byte(strings.Repeat("s", 32)), "https://tradesage.test")
	if err != nil {
		t.Fatal(err)
	}
	platform := store.PlatformStore(db.ServiceTenant)
	if w.tenants, err = tenant.New(tenant.Options{
		Store: platform, Permissions: permissions, Invitations: invitations,
		Refiller: tenant.NewRefiller(platform, 1, quiet), Now: time.Now, Logger: quiet,
	}); err != nil {
		t.Fatal(err)
	}
	w.in = w.tenant(t)
	revocations, err := session.NewRevocations(session.RevocationsOptions{
		Store: store.PlatformStore(db.ServiceRouter), Redis: env.Redis, Prefix: env.Prefix, TokenLifetime: time.Minute, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	users, err := user.New(user.Options{
		Store: store.Store(db.ServiceUser), Permissions: permissions, Invitations: invitations, Announcer: revocations, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	sessions := session.NewSessions(session.SessionsOptions{
		Store: store.Store(db.ServiceSession), Permissions: permissions, Revocations: revocations,
		Live: session.NewLive(session.LiveOptions{Redis: env.Redis, Prefix: env.Prefix, Logger: quiet}),
	})
	options := subgraph.Options{Logger: quiet, Authenticate: w.authenticate}
	local := map[string]router.LocalSubgraph{}
	for name, server := range map[string]*subgraph.Server{
		"tenant":  subgraph.New("tenant", tenantgraph.New(w.tenants), options),
		"user":    subgraph.New("user", usergraph.New(users, permissions), options),
		"session": subgraph.New("session", sessiongraph.New(sessions), options),
	} {
		local[name], w.subgraphs[name] = server, server
	}
	if w.router, err = router.New(t.Context(), router.Options{
		Config: graph.Supergraph, Local: local, Authenticate: w.authenticate, MissingScope: permissions.Lacks, Logger: quiet,
	}); err != nil {
		t.Fatal(err)
	}
	return w
}

// tenant makes a tenant with its built-in roles.
func (w *whole) tenant(t *testing.T) db.Tenant {
	t.Helper()
	made, err := w.tenants.EnsureTenant(t.Context(), "t-"+uuid.NewString(), "Test")
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (w *whole) observe(sql string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.statements = append(w.statements, sql)
}

func (w *whole) authenticate(r *http.Request) (*identity.Caller, error) {
	name := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if name == "" {
		return nil, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if caller := w.callers[name]; caller != nil {
		return caller, nil
	}
	return nil, errors.New("nobody's token")
}

// person makes a member of a tenant who holds a role, a session of theirs on a
// device, and the token of that session, which is their name.
func (w *whole) person(t *testing.T, in db.Tenant, name, role string) *identity.Caller {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	email := name + "-" + id.String() + "@people.test"
	err := w.DB.PlatformStore(db.ServiceAuth).Platform().CreateIdentity(t.Context(), platformdb.CreateIdentityParams{ID: id, Email: email})
	if err != nil {
		t.Fatal(err)
	}
	w.member(t, in, id, name, role)
	caller := &identity.Caller{Subject: id, Session: w.signIn(t, in, id), Tenant: in, AuthTime: time.Now(), Expires: time.Now().Add(time.Hour)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.callers[name] = caller
	return caller
}

// member adds an identity to a tenant.
func (w *whole) member(t *testing.T, in db.Tenant, id uuid.UUID, name, role string) {
	t.Helper()
	email := name + "-" + id.String() + "@people.test"
	if err := w.tenants.EnsureMember(t.Context(), tenant.Member{Tenant: in, Identity: id, Email: email, DisplayName: name, RoleKey: role}); err != nil {
		t.Fatal(err)
	}
}

// signIn makes a session on a new device.
func (w *whole) signIn(t *testing.T, in db.Tenant, who uuid.UUID) uuid.UUID {
	t.Helper()
	id, device := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	w.behind(t, `INSERT INTO platform.sessions (id, tenant_id, identity_id, device_id, amr, auth_time, expires_at)
		VALUES ($1, $2, $3, $4, '{pwd}', now(), now() + interval '1 hour')`, id, in.ID(), who, device)
	w.behind(t, "INSERT INTO "+w.schema(t, in)+".devices (id, tenant_id, user_id, name, kind) VALUES ($1, $2, $3, 'Device', 'other')",
		device, in.ID(), who)
	w.behind(t, "INSERT INTO "+w.schema(t, in)+".audit_events (id, tenant_id, actor_id, session_id, action) VALUES ($1, $2, $3, $4, 'auth.login')",
		uuid.Must(uuid.NewV7()), in.ID(), who, id)
	return id
}

// ask sends an operation to a handler.
func ask(t *testing.T, to http.Handler, token, query string, variables any) gqlResponse {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	recorder := httptest.NewRecorder()
	to.ServeHTTP(recorder, req)
	text, err := io.ReadAll(recorder.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer := gqlResponse{Status: recorder.Code}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return answer
}

// counted is ask with the statements that it took.
func (w *whole) counted(t *testing.T, to http.Handler, token, query string, variables any) (gqlResponse, []string) {
	t.Helper()
	w.mu.Lock()
	w.statements = nil
	w.mu.Unlock()
	answer := ask(t, to, token, query, variables)
	w.mu.Lock()
	defer w.mu.Unlock()
	return answer, w.statements
}

// askSubgraph sends an operation to a subgraph's own handler, past the router.
func (w *whole) askSubgraph(t *testing.T, name, token, query string, variables any) gqlResponse {
	t.Helper()
	return ask(t, w.subgraphs[name], token, query, variables)
}
