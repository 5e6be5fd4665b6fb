package user_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/tenantdb"
	"github.com/tradesage/tradesage/internal/dbtest"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/permission"
	"github.com/tradesage/tradesage/internal/tenant"
	"github.com/tradesage/tradesage/internal/user"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

type fixture struct {
	*dbtest.Env
	users *user.Users
	in    db.Tenant
	heard *announcer
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	env := dbtest.New(t)
	store, heard := env.DB.Store(db.ServiceUser), &announcer{}
	return fixture{env, newUsers(t, store, heard), env.Tenant(t), heard}
}

func newUsers(t *testing.T, store *db.Store, heard *announcer) *user.Users {
	t.Helper()
	invitations, err := tenant.NewInvitationMails([]byte(strings.Repeat("s", 32)), "https://tradesage.test")
	if err != nil {
		t.Fatal(err)
	}
	users, err := user.New(user.Options{
		Store: store, Permissions: permission.New(permission.Options{Store: store}), Invitations: invitations, Announcer: heard,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return users
}

// announcer hears what is announced, and fails if told to.
type announcer struct {
	mu   sync.Mutex
	said []string
	err  error
}

func (a *announcer) say(what string, in db.Tenant, subject uuid.UUID) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.said = append(a.said, what+" "+in.String()+" "+subject.String())
	return false, a.err
}

func (a *announcer) PermissionsChanged(_ context.Context, in db.Tenant, subject uuid.UUID) (bool, error) {
	return a.say("permissions", in, subject)
}

func (a *announcer) MemberEnded(_ context.Context, in db.Tenant, user uuid.UUID, _ string) (bool, error) {
	return a.say("ended", in, user)
}

func (a *announcer) heard() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	said := a.said
	a.said = nil
	return said
}

// person makes a user of a tenant, with the permissions if there are any.
func (f fixture) person(t *testing.T, in db.Tenant, permissions ...string) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	err := f.DB.Store(db.ServiceUser).Tenant(in).Tx(t.Context(), func(q *tenantdb.Queries) error {
		if _, err := q.UpsertUser(t.Context(), tenantdb.UpsertUserParams{ID: id, Email: id.String() + "@people.test", DisplayName: "Ada"}); err != nil {
			return err
		}
		if len(permissions) == 0 {
			return nil
		}
		key := "r" + strings.ReplaceAll(id.String(), "-", "")
		if _, err := q.UpsertBuiltInRoles(t.Context(), tenantdb.UpsertBuiltInRolesParams{
			Ids: []uuid.UUID{id}, Keys: []string{key}, Names: []string{"Role"}, Permissions: []string{strings.Join(permissions, ",")},
		}); err != nil {
			return err
		}
		_, err := q.AssignRole(t.Context(), id, key)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// exec changes the tenant's tables behind the scenes.
func (f fixture) exec(t *testing.T, in db.Tenant, sql string, args ...any) {
	t.Helper()
	conn := f.Connect(t, "postgres")
	var schema string
	if err := conn.QueryRow(t.Context(), "SELECT schema_name FROM platform.tenants WHERE id = $1", in.ID()).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SET search_path = "+schema); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// events returns how many profile changes the tenant's record holds.
func (f fixture) events(t *testing.T, in db.Tenant) int {
	t.Helper()
	conn := f.Connect(t, "postgres")
	var schema string
	if err := conn.QueryRow(t.Context(), "SELECT schema_name FROM platform.tenants WHERE id = $1", in.ID()).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM "+schema+".audit_events WHERE action = 'user.update_profile'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func as(t *testing.T, in db.Tenant, subject uuid.UUID) context.Context {
	return identity.NewContext(t.Context(), &identity.Caller{
		Subject: subject, Session: uuid.Must(uuid.NewV7()), Tenant: in, Expires: time.Now().Add(time.Hour),
	})
}

func ptr[T any](v T) *T { return &v }

func wantFault(t *testing.T, err error, code fault.Code, field string) {
	t.Helper()
	if f, ok := fault.As(err); !ok || f.Code != code || f.Field != field {
		t.Errorf("got %v, want %s of %q", err, code, field)
	}
}

func TestMe(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ada := f.person(t, f.in)
	got, err := f.users.Me(as(t, f.in, ada))
	if err != nil {
		t.Fatal(err)
	}
	want := &user.User{ID: ada, Email: ada.String() + "@people.test", DisplayName: "Ada", Locale: "en", TimeZone: "UTC", State: user.StateActive}
	ignored := cmp.Options{cmpopts.IgnoreUnexported(user.User{}), cmpopts.IgnoreFields(user.User{}, "CreatedAt", "UpdatedAt")}
	if diff := cmp.Diff(want, got, ignored); diff != "" {
		t.Error(diff)
	}
	if got.Tenant().ID != f.in.ID() {
		t.Errorf("tenant %s, want %s", got.Tenant().ID, f.in.ID())
	}

	_, err = f.users.Me(t.Context())
	wantFault(t, err, fault.CodeUnauthenticated, "")
	// The same person in a tenant that they do not belong to.
	_, err = f.users.Me(as(t, f.Tenant(t), ada))
	wantFault(t, err, fault.CodeForbidden, "")
	f.exec(t, f.in, "UPDATE users SET state = 'deactivated' WHERE id = $1", ada)
	_, err = f.users.Me(as(t, f.in, ada))
	wantFault(t, err, fault.CodeForbidden, "")
}

func TestUsersByID(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	elsewhere := f.Tenant(t)
	ada, bob, stranger := f.person(t, f.in), f.person(t, f.in), f.person(t, elsewhere)
	admin := f.person(t, f.in, tenant.UsersRead)
	asked := []uuid.UUID{stranger, bob, ada, uuid.Must(uuid.NewV7()), ada, uuid.Nil, admin}
	for name, c := range map[string]struct {
		in     db.Tenant
		caller uuid.UUID
		want   []uuid.UUID
	}{
		"oneself only":       {f.in, ada, []uuid.UUID{{}, {}, ada, {}, ada, {}, {}}},
		"with users:read":    {f.in, admin, []uuid.UUID{{}, bob, ada, {}, ada, {}, admin}},
		"from elsewhere":     {elsewhere, stranger, []uuid.UUID{stranger, {}, {}, {}, {}, {}, {}}},
		"admin of another":   {elsewhere, admin, make([]uuid.UUID, 7)},
		"nobody's identity":  {f.in, uuid.Must(uuid.NewV7()), make([]uuid.UUID, 7)},
		"no ids but of some": {f.in, bob, []uuid.UUID{{}, bob, {}, {}, {}, {}, {}}},
	} {
		got, err := f.users.UsersByID(as(t, c.in, c.caller), asked)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ids := make([]uuid.UUID, len(got))
		for i, u := range got {
			if u != nil {
				ids[i] = u.ID
			}
		}
		if diff := cmp.Diff(c.want, ids); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	_, err := f.users.UsersByID(t.Context(), asked)
	wantFault(t, err, fault.CodeUnauthenticated, "")

	f.exec(t, f.in, "UPDATE users SET state = 'deactivated' WHERE id = $1", admin)
	got, err := f.users.UsersByID(as(t, f.in, admin), asked)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(make([]*user.User, len(asked)), got); diff != "" {
		t.Errorf("a deactivated administrator still sees users: %s", diff)
	}
}

func TestUpdateProfile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ada, bob := f.person(t, f.in), f.person(t, f.in)
	ctx := as(t, f.in, ada)
	got, err := f.users.UpdateProfile(ctx, user.UpdateProfileInput{
		DisplayName: ptr("  Ada Lovelace "), Locale: ptr("pt_br"), TimeZone: ptr("Europe/Berlin"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.DisplayName != "Ada Lovelace" || got.Locale != "pt-BR" || got.TimeZone != "Europe/Berlin" || !got.UpdatedAt.After(got.CreatedAt) {
		t.Errorf("got %+v", got)
	}
	if n := f.events(t, f.in); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
	if got, err = f.users.UpdateProfile(ctx, user.UpdateProfileInput{DisplayName: ptr("")}); err != nil || got.DisplayName != "" || got.Locale != "pt-BR" {
		t.Errorf("got %+v, %v; want the name removed and the rest kept", got, err)
	}
	if other, err := f.users.Me(as(t, f.in, bob)); err != nil || other.DisplayName != "Ada" {
		t.Errorf("another user changed: %+v, %v", other, err)
	}
	_, err = f.users.UpdateProfile(t.Context(), user.UpdateProfileInput{DisplayName: ptr("x")})
	wantFault(t, err, fault.CodeUnauthenticated, "")
}

func TestUpdateProfileRefusesBadInput(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ada := f.person(t, f.in)
	for _, c := range []struct {
		field string
		input user.UpdateProfileInput
	}{
		{"input", user.UpdateProfileInput{}},
		{"input.displayName", user.UpdateProfileInput{DisplayName: ptr(strings.Repeat("é", 101))}},
		{"input.displayName", user.UpdateProfileInput{DisplayName: ptr("a\x00b")}},
		{"input.displayName", user.UpdateProfileInput{DisplayName: ptr("a\nb")}},
		{"input.displayName", user.UpdateProfileInput{DisplayName: ptr("a\u202eb")}},
		{"input.locale", user.UpdateProfileInput{Locale: ptr("")}},
		{"input.locale", user.UpdateProfileInput{Locale: ptr("und")}},
		{"input.locale", user.UpdateProfileInput{Locale: ptr("not a locale")}},
		{"input.locale", user.UpdateProfileInput{Locale: ptr("en\x00")}},
		{"input.locale", user.UpdateProfileInput{Locale: ptr(strings.Repeat("en-", 1<<16))}},
		{"input.timeZone", user.UpdateProfileInput{TimeZone: ptr("")}},
		{"input.timeZone", user.UpdateProfileInput{TimeZone: ptr("Local")}},
		{"input.timeZone", user.UpdateProfileInput{TimeZone: ptr("Europe/Atlantis")}},
		{"input.timeZone", user.UpdateProfileInput{TimeZone: ptr("../../etc/passwd")}},
		{"input.timeZone", user.UpdateProfileInput{TimeZone: ptr("/etc/localtime")}},
		{"input.timeZone", user.UpdateProfileInput{TimeZone: ptr("posix/Europe/Berlin")}},
		{"input.timeZone", user.UpdateProfileInput{TimeZone: ptr("europe/berlin")}},
		{"input.timeZone", user.UpdateProfileInput{DisplayName: ptr("Changed"), TimeZone: ptr("+02:00")}},
	} {
		_, err := f.users.UpdateProfile(as(t, f.in, ada), c.input)
		wantFault(t, err, fault.CodeInvalidInput, c.field)
	}
	if me, err := f.users.Me(as(t, f.in, ada)); err != nil || me.DisplayName != "Ada" {
		t.Errorf("a refused change was made in part: %+v, %v", me, err)
	}
	if n := f.events(t, f.in); n != 0 {
		t.Errorf("%d events of refused changes", n)
	}
}

func TestUpdateProfileAndItsEventAreOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ada := f.person(t, f.in)
	f.exec(t, f.in, "ALTER TABLE audit_events ADD CONSTRAINT broken CHECK (action <> 'user.update_profile')")
	_, err := f.users.UpdateProfile(as(t, f.in, ada), user.UpdateProfileInput{DisplayName: ptr("Changed")})
	if err == nil {
		t.Fatal("changed without its event")
	}
	if _, ok := fault.As(err); ok {
		t.Errorf("got %v, want an internal error", err)
	}
	if me, err := f.users.Me(as(t, f.in, ada)); err != nil || me.DisplayName != "Ada" {
		t.Errorf("got %+v, %v; want no change without its event", me, err)
	}
	f.exec(t, f.in, "UPDATE users SET state = 'deactivated' WHERE id = $1", ada)
	_, err = f.users.UpdateProfile(as(t, f.in, ada), user.UpdateProfileInput{DisplayName: ptr("Changed")})
	wantFault(t, err, fault.CodeForbidden, "")
	if n := f.events(t, f.in); n != 0 {
		t.Errorf("%d events of changes that were not made", n)
	}
}
