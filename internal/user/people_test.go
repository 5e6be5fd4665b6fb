package user_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/db"
	"github.com/tradesage/tradesage/db/platformdb"
	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/page"
	"github.com/tradesage/tradesage/internal/tenant"
	"github.com/tradesage/tradesage/internal/user"
)

// company is a tenant with its built-in roles and somebody in each.
type company struct {
	fixture
	owner, admin, trader, viewer uuid.UUID
}

func newCompany(t *testing.T) company {
	t.Helper()
	c := company{fixture: newFixture(t)}
	c.in = c.found(t)
	c.owner, c.admin = c.member(t, c.in, tenant.RoleOwner), c.member(t, c.in, tenant.RoleAdmin)
	c.trader, c.viewer = c.member(t, c.in, tenant.RoleTrader), c.member(t, c.in, tenant.RoleViewer)
	return c
}

func (f fixture) tenants(t *testing.T) *tenant.Tenants {
	t.Helper()
	invitations, err := tenant.NewInvitationMails([]byte(strings.Repeat("s", 32)), "https://tradesage.test")
	if err != nil {
		t.Fatal(err)
	}
	store := f.DB.PlatformStore(db.ServiceTenant)
	tenants, err := tenant.New(tenant.Options{
		Store: store, Invitations: invitations, Refiller: tenant.NewRefiller(store, 1, slog.New(slog.DiscardHandler)), Now: time.Now,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return tenants
}

// found makes a tenant as the platform does.
func (f fixture) found(t *testing.T) db.Tenant {
	t.Helper()
	made, err := f.tenants(t).EnsureTenant(t.Context(), "t"+uuid.NewString(), "Acme")
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (f fixture) member(t *testing.T, in db.Tenant, role string) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	email := role + "-" + id.String() + "@people.test"
	err := f.DB.PlatformStore(db.ServiceAuth).Platform().CreateIdentity(t.Context(), platformdb.CreateIdentityParams{ID: id, Email: email})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.tenants(t).EnsureMember(t.Context(), tenant.Member{Tenant: in, Identity: id, Email: email, RoleKey: role, DisplayName: "Some " + role}); err != nil {
		t.Fatal(err)
	}
	return id
}

// rolesOf returns the keys of the roles that a user holds.
func (c company) rolesOf(t *testing.T, id uuid.UUID) []string {
	t.Helper()
	found, err := c.users.RolesOf(as(t, c.in, c.owner), []uuid.UUID{id})
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{}
	for _, role := range found[0] {
		keys = append(keys, role.Key)
	}
	return keys
}

// actions lists what the tenant's record holds, without how people joined.
func (c company) actions(t *testing.T) []string {
	t.Helper()
	found, err := c.users.AuditEvents(as(t, c.in, c.owner), page.Args{First: ptr(100)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	actions := []string{}
	for _, edge := range found.Edges {
		if a := edge.Node.Action; a != "user.join" && a != "tenant.provision" {
			actions = append(actions, a)
		}
	}
	slices.Reverse(actions)
	return actions
}

func TestRolesChangeHands(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	owner := as(t, c.in, c.owner)
	made, err := c.users.CreateRole(owner, user.CreateRoleInput{Key: "desk", Name: " Desk ", Permissions: []string{"orders:read", "market:read", "orders:read"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{"desk", "Desk", []string{"market:read", "orders:read"}, false}, []any{made.Key, made.Name, made.Permissions, made.BuiltIn}); diff != "" {
		t.Error(diff)
	}
	for range 2 { // who holds it already keeps it, and nothing is recorded
		if _, err := c.users.AssignRole(owner, user.AssignRoleInput{UserID: c.viewer, Role: "desk"}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"viewer", "desk"}, c.rolesOf(t, c.viewer)); diff != "" {
		t.Error(diff)
	}
	if _, err := c.users.UpdateRole(owner, user.UpdateRoleInput{Role: "desk", Permissions: []string{"users:read"}}); err != nil {
		t.Fatal(err)
	}
	if can, err := c.users.Can(as(t, c.in, c.viewer), "users:read"); err != nil || !can {
		t.Errorf("%t, %v: the changed role does not count on the next request", can, err)
	}
	for range 2 {
		if _, err := c.users.UnassignRole(owner, user.UnassignRoleInput{UserID: c.viewer, Role: "desk"}); err != nil {
			t.Fatal(err)
		}
	}
	if can, err := c.users.Can(as(t, c.in, c.viewer), "users:read"); err != nil || can {
		t.Errorf("%t, %v: the role that was taken away still counts", can, err)
	}
	tenantID, viewer := c.in.String(), c.viewer.String()
	if diff := cmp.Diff([]string{
		"permissions " + tenantID + " " + viewer, "permissions " + tenantID + " " + tenantID, "permissions " + tenantID + " " + viewer,
	}, c.heard.heard()); diff != "" {
		t.Errorf("announced: %s", diff)
	}
	if diff := cmp.Diff([]string{"role.create", "role.assign", "role.update", "role.unassign"}, c.actions(t)); diff != "" {
		t.Errorf("recorded: %s", diff)
	}
}

func TestNobodyGivesMoreThanTheyHave(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	owner, admin, trader := as(t, c.in, c.owner), as(t, c.in, c.admin), as(t, c.in, c.trader)
	if _, err := c.users.CreateRole(owner, user.CreateRoleInput{Key: "backup", Name: "Backup", Permissions: []string{"backups:manage"}}); err != nil {
		t.Fatal(err)
	}
	before := c.actions(t)
	for what, try := range map[string]func() error{
		"admin makes themself owner": func() error {
			_, err := c.users.AssignRole(admin, user.AssignRoleInput{UserID: c.admin, Role: "owner"})
			return err
		},
		"admin invites an owner": func() error {
			_, err := c.users.InviteUser(admin, user.InviteUserInput{Email: "x@people.test", Role: "owner"})
			return err
		},
		"admin makes a role of more": func() error {
			_, err := c.users.CreateRole(admin, user.CreateRoleInput{Key: "more", Name: "More", Permissions: []string{"users:read", "backups:manage"}})
			return err
		},
		"admin makes a role of the platform": func() error {
			_, err := c.users.CreateRole(admin, user.CreateRoleInput{Key: "more", Name: "More", Permissions: []string{"tenants:create"}})
			return err
		},
		"owner makes a role of the platform": func() error {
			_, err := c.users.CreateRole(owner, user.CreateRoleInput{Key: "more", Name: "More", Permissions: []string{"tenants:manage"}})
			return err
		},
		"admin empties a role of more": func() error {
			_, err := c.users.UpdateRole(admin, user.UpdateRoleInput{Role: "backup", Permissions: []string{}})
			return err
		},
		"admin dethrones the owner": func() error {
			_, err := c.users.UnassignRole(admin, user.UnassignRoleInput{UserID: c.owner, Role: "owner"})
			return err
		},
		"admin deactivates the owner": func() error {
			_, _, err := c.users.DeactivateUser(admin, user.DeactivateUserInput{UserID: c.owner})
			return err
		},
		"trader assigns a role": func() error {
			_, err := c.users.AssignRole(trader, user.AssignRoleInput{UserID: c.viewer, Role: "viewer"})
			return err
		},
		"trader makes a role": func() error {
			_, err := c.users.CreateRole(trader, user.CreateRoleInput{Key: "mine", Name: "Mine"})
			return err
		},
		"trader invites": func() error {
			_, err := c.users.InviteUser(trader, user.InviteUserInput{Email: "x@people.test", Role: "viewer"})
			return err
		},
		"trader deactivates": func() error {
			_, _, err := c.users.DeactivateUser(trader, user.DeactivateUserInput{UserID: c.viewer})
			return err
		},
		"owner of another tenant": func() error {
			_, err := c.users.AssignRole(as(t, c.in, c.member(t, c.found(t), tenant.RoleOwner)), user.AssignRoleInput{UserID: c.viewer, Role: "viewer"})
			return err
		},
	} {
		if err := try(); !fault.Is(err, fault.CodeForbidden) {
			t.Errorf("%s: %v, want FORBIDDEN", what, err)
		}
	}
	if diff := cmp.Diff(before, c.actions(t)); diff != "" {
		t.Errorf("a refused change was recorded: %s", diff)
	}
	if diff := cmp.Diff([]string{"admin"}, c.rolesOf(t, c.admin)); diff != "" {
		t.Error(diff)
	}
	for _, anonymous := range []error{
		func() error { _, err := c.users.List(t.Context(), user.List{}); return err }(),
		func() error { _, err := c.users.Roles(t.Context()); return err }(),
		func() error { _, err := c.users.AuditEvents(t.Context(), page.Args{}, nil); return err }(),
		func() error {
			_, err := c.users.InviteUser(t.Context(), user.InviteUserInput{Email: "x@people.test", Role: "viewer"})
			return err
		}(),
		func() error { _, err := c.users.UserByID(t.Context(), c.owner); return err }(),
	} {
		wantFault(t, anonymous, fault.CodeUnauthenticated, "")
	}
}

func TestTheLastOwnerStays(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	owner := as(t, c.in, c.owner)
	_, err := c.users.UnassignRole(owner, user.UnassignRoleInput{UserID: c.owner, Role: "owner"})
	wantFault(t, err, fault.CodeConflict, "input.userId")
	_, _, err = c.users.DeactivateUser(owner, user.DeactivateUserInput{UserID: c.owner})
	wantFault(t, err, fault.CodeInvalidInput, "input.userId")
	// A deactivated owner counts for nothing.
	second := c.member(t, c.in, tenant.RoleOwner)
	if _, _, err := c.users.DeactivateUser(owner, user.DeactivateUserInput{UserID: second}); err != nil {
		t.Fatal(err)
	}
	_, err = c.users.UnassignRole(owner, user.UnassignRoleInput{UserID: c.owner, Role: "owner"})
	wantFault(t, err, fault.CodeConflict, "input.userId")
	// Somebody who is no owner, but may do all that an owner may.
	deputy, err := c.users.CreateRole(owner, user.CreateRoleInput{Key: "deputy", Name: "Deputy", Permissions: c.all(t)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.users.AssignRole(owner, user.AssignRoleInput{UserID: c.viewer, Role: deputy.Key}); err != nil {
		t.Fatal(err)
	}
	_, _, err = c.users.DeactivateUser(as(t, c.in, c.viewer), user.DeactivateUserInput{UserID: c.owner})
	wantFault(t, err, fault.CodeConflict, "input.userId")
	if diff := cmp.Diff([]string{"owner"}, c.rolesOf(t, c.owner)); diff != "" {
		t.Error(diff)
	}
}

// all lists what an owner holds.
func (c company) all(t *testing.T) []string {
	t.Helper()
	found, err := c.users.Permissions(as(t, c.in, c.owner))
	if err != nil {
		t.Fatal(err)
	}
	held := []string{}
	for _, p := range found {
		if p.Held {
			held = append(held, p.Name)
		}
	}
	return held
}

// Two owners who turn each other out at the same moment: one of them stays.
func TestTwoOwnersTurnEachOtherOut(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	for round := range 4 {
		second := c.member(t, c.in, tenant.RoleOwner)
		errs := make([]error, 2)
		var group sync.WaitGroup
		for i, pair := range [][2]uuid.UUID{{c.owner, second}, {second, c.owner}} {
			group.Go(func() {
				ctx := as(t, c.in, pair[0])
				if round%2 == 0 {
					_, _, errs[i] = c.users.DeactivateUser(ctx, user.DeactivateUserInput{UserID: pair[1]})
				} else {
					_, errs[i] = c.users.UnassignRole(ctx, user.UnassignRoleInput{UserID: pair[1], Role: "owner"})
				}
			})
		}
		group.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("round %d: %v and %v, want one of them to win", round, errs[0], errs[1])
		}
		if errs[0] != nil {
			c.owner = second
		}
		for _, err := range errs {
			if err != nil && !fault.Is(err, fault.CodeForbidden) {
				t.Errorf("round %d: %v, want FORBIDDEN", round, err)
			}
		}
	}
}

func TestDeactivateUser(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	c.heard.err = fmt.Errorf("the process is killed here")
	got, pending, err := c.users.DeactivateUser(as(t, c.in, c.admin), user.DeactivateUserInput{UserID: c.viewer})
	if err != nil || !pending || got.State != user.StateDeactivated {
		t.Fatalf("%+v, %t, %v", got, pending, err)
	}
	wantSaid := "ended " + c.in.String() + " " + c.viewer.String()
	if diff := cmp.Diff([]string{wantSaid}, c.heard.heard()); diff != "" {
		t.Error(diff)
	}
	if _, err := c.users.Me(as(t, c.in, c.viewer)); !fault.Is(err, fault.CodeForbidden) {
		t.Errorf("%v: a deactivated user reads", err)
	}
	// The outbox says it again.
	c.heard.err = nil
	body, _ := json.Marshal(map[string]any{"subject": c.viewer})
	if err := c.users.HandleDeactivated(t.Context(), c.in, body); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{wantSaid}, c.heard.heard()); diff != "" {
		t.Error(diff)
	}
	other, _ := json.Marshal(map[string]any{"subject": c.trader})
	if err := c.users.HandleDeactivated(t.Context(), c.in, other); err != nil || len(c.heard.heard()) > 0 {
		t.Errorf("%v: an active user's sessions were ended", err)
	}
	for _, id := range []uuid.UUID{uuid.New(), c.member(t, c.found(t), tenant.RoleViewer), uuid.Nil} {
		_, _, err := c.users.DeactivateUser(as(t, c.in, c.owner), user.DeactivateUserInput{UserID: id})
		wantFault(t, err, fault.CodeNotFound, "")
		_, err = c.users.AssignRole(as(t, c.in, c.owner), user.AssignRoleInput{UserID: id, Role: "viewer"})
		wantFault(t, err, fault.CodeNotFound, "")
	}
	_, err = c.users.AssignRole(as(t, c.in, c.owner), user.AssignRoleInput{UserID: c.viewer, Role: "trader"})
	wantFault(t, err, fault.CodeConflict, "input.userId")
	if diff := cmp.Diff([]string{"user.deactivate"}, c.actions(t)); diff != "" {
		t.Error(diff)
	}
	n := 0
	if err := c.Connect(t, "postgres").QueryRow(t.Context(), "SELECT count(*) FROM platform.outbox WHERE tenant_id = $1 AND kind = 'user.deactivated'", c.in.ID()).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d in the outbox, %v", n, err)
	}
}

func TestRolesRefuseBadInput(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	owner := as(t, c.in, c.owner)
	long := strings.Repeat("x", 101)
	for _, in := range []struct {
		field string
		input user.CreateRoleInput
	}{
		{"input.key", user.CreateRoleInput{Name: "X"}},
		{"input.key", user.CreateRoleInput{Key: "Big", Name: "X"}},
		{"input.key", user.CreateRoleInput{Key: "a\n", Name: "X"}},
		{"input.key", user.CreateRoleInput{Key: "a" + long, Name: "X"}},
		{"input.key", user.CreateRoleInput{Key: "'; DROP TABLE roles --", Name: "X"}},
		{"input.name", user.CreateRoleInput{Key: "x", Name: " "}},
		{"input.name", user.CreateRoleInput{Key: "x", Name: long}},
		{"input.name", user.CreateRoleInput{Key: "x", Name: "a\x00b"}},
		{"input.permissions", user.CreateRoleInput{Key: "x", Name: "X", Permissions: []string{"users:fly"}}},
		{"input.permissions", user.CreateRoleInput{Key: "x", Name: "X", Permissions: []string{"users:read,backups:manage"}}},
		{"input.permissions", user.CreateRoleInput{Key: "x", Name: "X", Permissions: slices.Repeat([]string{"users:read"}, 101)}},
	} {
		_, err := c.users.CreateRole(owner, in.input)
		wantFault(t, err, fault.CodeInvalidInput, in.field)
	}
	_, err := c.users.CreateRole(owner, user.CreateRoleInput{Key: "owner", Name: "X"})
	wantFault(t, err, fault.CodeConflict, "input.key")
	_, err = c.users.UpdateRole(owner, user.UpdateRoleInput{Role: "viewer", Name: ptr("X")})
	wantFault(t, err, fault.CodeConflict, "input.role")
	_, err = c.users.UpdateRole(owner, user.UpdateRoleInput{Role: "none", Name: ptr("X")})
	wantFault(t, err, fault.CodeInvalidInput, "input.role")
	_, err = c.users.UpdateRole(owner, user.UpdateRoleInput{Role: "viewer"})
	wantFault(t, err, fault.CodeInvalidInput, "input")
	_, err = c.users.AssignRole(owner, user.AssignRoleInput{UserID: c.viewer, Role: "a\x00"})
	wantFault(t, err, fault.CodeInvalidInput, "input.role")
	for i := range 96 {
		if _, err := c.users.CreateRole(owner, user.CreateRoleInput{Key: fmt.Sprintf("r%d", i), Name: "X"}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.users.CreateRole(owner, user.CreateRoleInput{Key: "one-more", Name: "X"})
	wantFault(t, err, fault.CodeQuotaExceeded, "")
}

// Administrators appoint whom a tenant needs in its days, and no owners: backups
// are the owners' alone.
func TestAdministratorsAppoint(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	admin := as(t, c.in, c.admin)
	for _, role := range []string{"admin", "trader", "viewer"} {
		if _, err := c.users.InviteUser(admin, user.InviteUserInput{Email: role + "@appointed.test", Role: role}); err != nil {
			t.Errorf("invite a %s: %v", role, err)
		}
		if _, err := c.users.AssignRole(admin, user.AssignRoleInput{UserID: c.viewer, Role: role}); err != nil {
			t.Errorf("make a %s: %v", role, err)
		}
	}
	if _, err := c.users.UnassignRole(admin, user.UnassignRoleInput{UserID: c.trader, Role: "trader"}); err != nil {
		t.Errorf("unmake a trader: %v", err)
	}
	_, err := c.users.InviteUser(admin, user.InviteUserInput{Email: "owner@appointed.test", Role: "owner"})
	wantFault(t, err, fault.CodeForbidden, "")
	_, err = c.users.AssignRole(admin, user.AssignRoleInput{UserID: c.admin, Role: "owner"})
	wantFault(t, err, fault.CodeForbidden, "")
	_, _, err = c.users.DeactivateUser(admin, user.DeactivateUserInput{UserID: c.owner})
	wantFault(t, err, fault.CodeForbidden, "")
}

func (c company) schema(t *testing.T) string {
	t.Helper()
	var schema string
	if err := c.Connect(t, "postgres").QueryRow(t.Context(), "SELECT schema_name FROM platform.tenants WHERE id = $1", c.in.ID()).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	return schema
}
