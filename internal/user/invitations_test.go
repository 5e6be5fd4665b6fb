package user_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/page"
	"github.com/tradesage/tradesage/internal/tenant"
	"github.com/tradesage/tradesage/internal/user"
)

func TestInviteUser(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	admin := as(t, c.in, c.admin)
	first, err := c.users.InviteUser(admin, user.InviteUserInput{Email: " New@People.test ", Role: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.users.InviteUser(admin, user.InviteUserInput{Email: "new@people.test", Role: "viewer"})
	if err != nil || second.Email != "new@people.test" || second.Role.Key != "viewer" || second.ID == first.ID {
		t.Fatalf("%+v, %v", second, err)
	}
	var body []byte
	conn := c.Connect(t, "postgres")
	if err := conn.QueryRow(t.Context(), "SELECT body FROM platform.outbox WHERE tenant_id = $1 AND kind = 'mail.invitation' ORDER BY id DESC LIMIT 1", c.in.ID()).Scan(&body); err != nil {
		t.Fatal(err)
	}
	message, err := c.tenants(t).InvitationMail(t.Context(), c.in.ID(), body)
	if err != nil || message == nil {
		t.Fatalf("%v, %v", message, err)
	}
	_, code, _ := strings.Cut(message.Text, "/invitation#")
	code, _, _ = strings.Cut(code, "\n")
	at, hash, ok := tenant.ParseInvitationCode(code)
	if !ok || at != c.in.ID() || message.To != "new@people.test" || !strings.Contains(message.Text, "Some admin") {
		t.Errorf("%v, %s in %s", ok, at, message.Text)
	}
	var kept []byte
	if err := conn.QueryRow(t.Context(), "SELECT code_hash FROM "+c.schema(t)+".invitations WHERE email = 'new@people.test'").Scan(&kept); err != nil || !bytes.Equal(kept, hash) {
		t.Errorf("%x, %v: the mailed code is not the one invitation's", kept, err)
	}
	me, err := c.users.Me(as(t, c.in, c.viewer))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		in    user.InviteUserInput
		code  fault.Code
		field string
	}{
		{user.InviteUserInput{Email: "nobody", Role: "viewer"}, fault.CodeInvalidInput, "input.email"},
		{user.InviteUserInput{Email: "a@b.test\r\nBcc: c@d.test", Role: "viewer"}, fault.CodeInvalidInput, "input.email"},
		{user.InviteUserInput{Email: "a@b.test", Role: "king"}, fault.CodeInvalidInput, "input.role"},
		{user.InviteUserInput{Email: strings.ToUpper(me.Email), Role: "viewer"}, fault.CodeConflict, "input.email"},
	} {
		_, err := c.users.InviteUser(admin, bad.in)
		wantFault(t, err, bad.code, bad.field)
	}
	if diff := cmp.Diff([]string{"user.invite", "user.invite"}, c.actions(t)); diff != "" {
		t.Error(diff)
	}
}

func TestInvitationsAreListedAndWithdrawn(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	owner, admin := as(t, c.in, c.owner), as(t, c.in, c.admin)
	sent := []*user.Invitation{}
	for i, role := range []string{"owner", "trader", "viewer"} {
		made, err := c.users.InviteUser(owner, user.InviteUserInput{Email: role + "@invited.test", Role: role})
		if err != nil {
			t.Fatal(err)
		}
		sent = slices.Insert(sent, 0, made) // the newest first
		open, err := c.users.Invitations(admin, page.Args{First: ptr(2)})
		if err != nil || len(open.Edges) != min(i+1, 2) || open.Edges[0].Node.ID != made.ID || open.PageInfo.HasNextPage != (i == 2) {
			t.Fatalf("%+v, %v", open, err)
		}
	}
	page1, err := c.users.Invitations(admin, page.Args{First: ptr(2)})
	if err != nil {
		t.Fatal(err)
	}
	page2, err := c.users.Invitations(admin, page.Args{First: ptr(2), After: page1.PageInfo.EndCursor})
	if err != nil {
		t.Fatal(err)
	}
	listed := []*user.Invitation{}
	for _, edge := range append(page1.Edges, page2.Edges...) {
		listed = append(listed, edge.Node)
	}
	if diff := cmp.Diff(sent, listed, cmp.AllowUnexported(user.Invitation{}), cmpopts.EquateApproxTime(0)); diff != "" {
		t.Error(diff)
	}

	withdraw := func(ctx context.Context, id uuid.UUID) error {
		_, err := c.users.WithdrawInvitation(ctx, user.WithdrawInvitationInput{InvitationID: id})
		return err
	}
	viewers, owners := sent[0], sent[2]
	wantFault(t, withdraw(t.Context(), viewers.ID), fault.CodeUnauthenticated, "")
	wantFault(t, withdraw(as(t, c.in, c.viewer), viewers.ID), fault.CodeForbidden, "")
	other := newCompany(t)
	wantFault(t, withdraw(as(t, other.in, other.owner), viewers.ID), fault.CodeNotFound, "")
	wantFault(t, withdraw(admin, uuid.New()), fault.CodeNotFound, "")
	// Nobody takes away more than they have, by inviting the same address neither.
	wantFault(t, withdraw(admin, owners.ID), fault.CodeForbidden, "")
	_, err = c.users.InviteUser(admin, user.InviteUserInput{Email: "owner@invited.test", Role: "viewer"})
	wantFault(t, err, fault.CodeForbidden, "")
	if err := withdraw(admin, viewers.ID); err != nil {
		t.Fatal(err)
	}
	wantFault(t, withdraw(admin, viewers.ID), fault.CodeNotFound, "")
	left, err := c.users.Invitations(owner, page.Args{})
	if err != nil || len(left.Edges) != 2 {
		t.Errorf("%+v, %v", left, err)
	}
	_, err = c.users.Invitations(as(t, c.in, c.viewer), page.Args{})
	wantFault(t, err, fault.CodeForbidden, "")
	if diff := cmp.Diff([]string{"user.invite", "user.invite", "user.invite", "user.uninvite"}, c.actions(t)); diff != "" {
		t.Error(diff)
	}
}
