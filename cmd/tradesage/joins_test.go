package main_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tradesage/tradesage/internal/tenant"
)

type object = map[string]any

func nodes(of ...any) object {
	edges := make([]any, len(of))
	for i, node := range of {
		edges[i] = object{"node": node}
	}
	return object{"edges": edges}
}

// Each type leads to each other that belongs to it, across the subgraphs.
func TestJoins(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	boss := w.person(t, w.in, "boss", tenant.RoleOwner)
	me := object{"id": boss.Subject.String()}
	here := object{"id": w.in.ID().String()}
	session := object{"id": boss.Session.String()}
	owner := object{"key": "owner"}
	for query, want := range map[string]object{
		`{ me { tenant { id } } }`:                             {"me": object{"tenant": here}},
		`{ me { roles { key } } }`:                             {"me": object{"roles": []any{owner}}},
		`{ me { memberships { user { id } tenant { id } } } }`: {"me": object{"memberships": []any{object{"user": me, "tenant": here}}}},
		`{ me { sessions { edges { node { id } } } } }`:        {"me": object{"sessions": nodes(session)}},
		`{ me { devices { edges { node { name } } } } }`:       {"me": object{"devices": nodes(object{"name": "Device"})}},
		`{ tenant { users { edges { node { id } } } } }`:       {"tenant": object{"users": nodes(me)}},
		`{ tenant { roles { key users { edges { node { id } } } } } }`: {"tenant": object{"roles": []any{
			object{"key": "admin", "users": nodes()}, object{"key": "owner", "users": nodes(me)},
			object{"key": "trader", "users": nodes()}, object{"key": "viewer", "users": nodes()},
		}}},
		`{ sessions { edges { node { user { id displayName } } } } }`:                            {"sessions": nodes(object{"user": object{"id": me["id"], "displayName": "boss"}})},
		`{ sessions { edges { node { tenant { id name } } } } }`:                                 {"sessions": nodes(object{"tenant": object{"id": here["id"], "name": "Test"}})},
		`{ sessions { edges { node { device { name sessions { edges { node { id } } } } } } } }`: {"sessions": nodes(object{"device": object{"name": "Device", "sessions": nodes(session)}})},
		`{ devices { edges { node { user { id roles { key } } } } } }`:                           {"devices": nodes(object{"user": object{"id": me["id"], "roles": []any{owner}}})},
		`{ auditEvents(filter: {action: "auth.login"}) { edges { node { actor { id email: displayName } session { id device { name } } } } } }`: {
			"auditEvents": nodes(object{"actor": object{"id": me["id"], "email": "boss"}, "session": object{"id": session["id"], "device": object{"name": "Device"}}}),
		},
		`mutation { inviteUser(input: {email: "new@people.test", role: "viewer"}) { invitation { tenant { id name } invitedBy { id } role { key } } } }`: {
			"inviteUser": object{"invitation": object{
				"tenant": object{"id": here["id"], "name": "Test"}, "invitedBy": me, "role": object{"key": "viewer"},
			}},
		},
	} {
		answer := ask(t, w.router, "boss", query, nil)
		if diff := cmp.Diff(want, answer.Data); diff != "" || len(answer.Errors) > 0 {
			t.Errorf("%s: %s %+v", query, diff, answer.Errors)
		}
	}
}

// Where else somebody works is theirs to tell: the administrator of a tenant sees
// that they belong to it, and nothing more.
func TestMembershipsOfOthers(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	elsewhere := w.tenant(t)
	w.person(t, w.in, "boss", tenant.RoleOwner)
	w.person(t, w.in, "viewer", tenant.RoleViewer)
	ada := w.person(t, w.in, "ada", tenant.RoleTrader)
	w.member(t, elsewhere, ada.Subject, "ada", tenant.RoleOwner)
	stranger := w.person(t, elsewhere, "stranger", tenant.RoleOwner)
	here, there := object{"tenant": object{"id": w.in.ID().String()}}, object{"tenant": object{"id": elsewhere.ID().String()}}

	const own = `{ me { memberships { tenant { id } } } }`
	all, _ := dig(ask(t, w.router, "ada", own, nil).Data, "me", "memberships").([]any)
	if len(all) != 2 || cmp.Equal(all[0], all[1]) || !cmp.Equal(all[0], any(here)) && !cmp.Equal(all[1], any(here)) {
		t.Errorf("one's own: %v, want here and there", all)
	}
	const others = `query ($id: ID!) { user(id: $id) { memberships { tenant { id } } } }`
	answer := ask(t, w.router, "boss", others, object{"id": ada.Subject})
	if diff := cmp.Diff(object{"user": object{"memberships": []any{here}}}, answer.Data); diff != "" || len(answer.Errors) > 0 {
		t.Errorf("another's: %s %+v", diff, answer.Errors)
	}
	// On the subgraph's own port, past the router, it is the same.
	const entity = `query ($id: ID!) { _entities(representations: [{__typename: "User", id: $id}]) { ... on User { memberships { tenant { id } } } } }`
	for name, ask := range map[string]struct {
		token string
		id    any
		want  any
	}{
		"another's":            {"boss", ada.Subject, object{"memberships": []any{here}}},
		"another tenant's":     {"boss", stranger.Subject, object{"memberships": nil}},
		"nobody's":             {"boss", "00000000-0000-0000-0000-000000000000", object{"memberships": nil}},
		"without a permission": {"viewer", ada.Subject, nil},
		"from another tenant":  {"stranger", ada.Subject, object{"memberships": []any{there}}},
	} {
		answer := w.askSubgraph(t, "tenant", ask.token, entity, object{"id": ask.id})
		if diff := cmp.Diff(object{"_entities": []any{ask.want}}, answer.Data); diff != "" || len(answer.Errors) > 0 {
			t.Errorf("%s: %s %+v", name, diff, answer.Errors)
		}
	}
	w.behind(t, "UPDATE platform.memberships SET state = 'disabled' WHERE identity_id = $1 AND tenant_id = $2", ada.Subject, w.in.ID())
	answer = ask(t, w.router, "boss", others, object{"id": ada.Subject})
	if diff := cmp.Diff(object{"user": object{"memberships": nil}}, answer.Data); diff != "" {
		t.Errorf("a membership that was disabled: %s", diff)
	}
}

// Without users:read and sessions:read a list shows who is asking, and nobody else.
func TestJoinsOfWhoMaySeeNobody(t *testing.T) {
	t.Parallel()
	w := newWhole(t)
	boss := w.person(t, w.in, "boss", tenant.RoleOwner)
	viewer := w.person(t, w.in, "viewer", tenant.RoleViewer)
	const query = `query ($keys: [_Any!]!) { _entities(representations: $keys) { __typename } }`
	for name, typename := range map[string]string{"user": "User", "session": "User", "tenant": "User"} {
		keys := []any{object{"__typename": typename, "id": viewer.Subject}, object{"__typename": typename, "id": boss.Subject}}
		answer := w.askSubgraph(t, name, "viewer", query, object{"keys": keys})
		want := object{"_entities": []any{object{"__typename": typename}, nil}}
		if diff := cmp.Diff(want, answer.Data); diff != "" || len(answer.Errors) > 0 {
			t.Errorf("%s: %s %+v", name, diff, answer.Errors)
		}
	}
	answer := ask(t, w.router, "viewer", `{ me { tenant { users { edges { node { id } } } roles { key } } auditEvents { edges { node { id } } } } }`, nil)
	want := object{"me": object{"tenant": object{"users": nil, "roles": nil}, "auditEvents": nil}}
	if diff := cmp.Diff(want, answer.Data); diff != "" || len(answer.Errors) != 3 || answer.code() != "FORBIDDEN" {
		t.Errorf("%s %+v", diff, answer.Errors)
	}
}
