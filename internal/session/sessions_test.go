package session

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/page"
)

// ids lists every page's session ids, page by page.
func (e *env) ids(t *testing.T, user *identity.Caller, current uuid.UUID, size int) (pages [][]uuid.UUID) {
	t.Helper()
	args := page.Args{First: &size}
	for {
		connection, err := e.sessions.List(as(t, user, current), List{Args: args})
		if err != nil {
			t.Fatal(err)
		}
		var ids []uuid.UUID
		for _, edge := range connection.Edges {
			ids = append(ids, edge.Node.ID)
			if edge.Node.Current != (edge.Node.ID == current) || edge.Node.UserID != user.Subject {
				t.Errorf("session %+v", edge.Node)
			}
		}
		pages = append(pages, ids)
		if !connection.PageInfo.HasNextPage {
			return pages
		}
		args.After = connection.PageInfo.EndCursor
	}
}

func TestListPagesOwnSessionsNewestFirst(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	tenant, other := e.Tenant(t), e.Tenant(t)
	user, colleague := e.user(t, tenant), e.user(t, tenant)
	stranger := *user // the same identity in another tenant
	stranger.Tenant = other
	e.exec(t, "INSERT INTO platform.memberships (identity_id, tenant_id) VALUES ($1, $2)", user.Subject, other.ID())
	e.start(t, colleague)
	elsewhere := e.start(t, &stranger)
	var own [5]uuid.UUID
	for i := range own {
		own[i] = e.start(t, user)
	}
	ended, expired := e.start(t, user), e.start(t, user)
	e.end(t, e.process(t, e.Redis), user, ended)
	e.exec(t, "UPDATE platform.sessions SET expires_at = $2 WHERE id = $1", expired, e.clock.Now())

	want := [][]uuid.UUID{{own[4], own[3]}, {own[2], own[1]}, {own[0]}}
	if diff := cmp.Diff(want, e.ids(t, user, own[2], 2)); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff([][]uuid.UUID{{elsewhere}}, e.ids(t, &stranger, elsewhere, 2)); diff != "" {
		t.Fatal(diff)
	}
	for name, args := range map[string]page.Args{"first": {First: new(0)}, "after": {After: new("nonsense")}} {
		_, err := e.sessions.List(as(t, user, own[0]), List{Args: args})
		if f, ok := fault.As(err); !ok || f.Code != fault.CodeInvalidInput || f.Field != name {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := e.sessions.List(t.Context(), List{}); !fault.Is(err, fault.CodeUnauthenticated) {
		t.Errorf("without a caller: %v", err)
	}
}

func TestOthersSessionsAreNotFound(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	tenant, other := e.Tenant(t), e.Tenant(t)
	user, colleague, stranger := e.user(t, tenant), e.user(t, tenant), e.user(t, other)
	own := e.start(t, user)
	for name, id := range map[string]uuid.UUID{
		"a colleague's": e.start(t, colleague), "another tenant's": e.start(t, stranger), "nobody's": uuid.New(),
	} {
		if _, err := e.sessions.SessionByID(as(t, user, own), id); !fault.Is(err, fault.CodeNotFound) {
			t.Errorf("%s session: %v", name, err)
		}
		found, err := e.sessions.SessionsByID(as(t, user, own), []uuid.UUID{id, own, own})
		if err != nil || len(found) != 3 || found[0] != nil || found[1] == nil || found[1].ID != own || found[2] != found[1] {
			t.Errorf("%s session in a batch: %v, %v", name, found, err)
		}
	}
	if _, err := e.sessions.SessionsByID(as(t, user, own), make([]uuid.UUID, MaxBatch+1)); !fault.Is(err, fault.CodeInvalidInput) {
		t.Errorf("a large batch: %v", err)
	}
}

func TestOthersDevicesAreNotFound(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	tenant, other := e.Tenant(t), e.Tenant(t)
	device := func(user *identity.Caller) uuid.UUID {
		id, session := uuid.New(), uuid.New()
		err := e.DB.Store(db.ServiceAuth).Tenant(user.Tenant).RecordSignIn(t.Context(), tenantdb.RecordSignInParams{
			DeviceID: id, UserID: &user.Subject, DeviceName: "curl", DeviceKind: "other", At: e.clock.Now(),
			EventID: uuid.New(), SessionID: &session, Action: "auth.login", Details: []byte("{}"),
		})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	user, colleague, stranger := e.user(t, tenant), e.user(t, tenant), e.user(t, other)
	own := device(user)
	ctx := as(t, user, uuid.New())
	got, err := e.sessions.DeviceByID(ctx, own)
	want := &Device{ID: own, UserID: user.Subject, Name: "curl", Kind: "other", FirstSeenAt: e.clock.Now(), LastSeenAt: e.clock.Now()}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatal(diff, err)
	}
	for name, id := range map[string]uuid.UUID{"a colleague's": device(colleague), "another tenant's": device(stranger), "nobody's": uuid.New()} {
		if _, err := e.sessions.DeviceByID(ctx, id); !fault.Is(err, fault.CodeNotFound) {
			t.Errorf("%s device: %v", name, err)
		}
	}
}

func TestLastSeen(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	user := e.user(t, e.Tenant(t))
	session := e.start(t, user)
	lastSeen := func() time.Time {
		found, err := e.sessions.SessionByID(as(t, user, session), session)
		if err != nil {
			t.Fatal(err)
		}
		return found.LastSeenAt
	}
	started := e.clock.Now()
	seen := started.Add(time.Minute)
	e.live.Touch(session, seen)
	if got := lastSeen(); !got.Equal(started) {
		t.Fatalf("before anything is written: %s", got)
	}
	e.live.flush(t.Context())
	if got := lastSeen(); !got.Equal(seen) {
		t.Fatalf("from Redis: %s, want %s", got, seen)
	}
	key := keys{e.Prefix}.session(session)
	if ttl := e.Redis.TTL(t.Context(), key).Val(); ttl <= 0 || ttl > liveTTL {
		t.Fatalf("the key lives for %s", ttl)
	}
	if err := e.Redis.Del(t.Context(), key).Err(); err != nil {
		t.Fatal(err)
	}
	if got := lastSeen(); !got.Equal(started) {
		t.Fatalf("without the key: %s", got)
	}
	e.live.flushDurable(t.Context())
	if got := lastSeen(); !got.Equal(seen) {
		t.Fatalf("from the row: %s, want %s", got, seen)
	}
	e.live.Touch(session, started) // an older one that comes late
	e.live.flushDurable(t.Context())
	if got := lastSeen(); !got.Equal(seen) {
		t.Fatalf("the row went back to %s", got)
	}
}

func TestListWithoutRedis(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	user := e.user(t, e.Tenant(t))
	session := e.start(t, user)
	e.sessions.live = NewLive(LiveOptions{Redis: nowhere(t), Logger: quiet})
	connection, err := e.sessions.List(as(t, user, session), List{})
	if err != nil || len(connection.Edges) != 1 || !connection.Edges[0].Node.LastSeenAt.Equal(e.clock.Now()) {
		t.Fatalf("got %+v, %v", connection, err)
	}
}
