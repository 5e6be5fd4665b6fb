package session

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/identity"
	"github.com/tradesage/tradesage/internal/page"
)

// everything reads the whole list in pages of two; between pages it calls meanwhile.
func everything(t *testing.T, list List, read func(List) (*SessionConnection, error), meanwhile func()) (ids []uuid.UUID) {
	t.Helper()
	size := 2
	list.First = &size
	for {
		found, err := read(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, edge := range found.Edges {
			ids = append(ids, edge.Node.ID)
		}
		if !found.PageInfo.HasNextPage {
			return ids
		}
		list.After = found.PageInfo.EndCursor
		if meanwhile != nil {
			meanwhile()
		}
	}
}

func TestSessionsByStateDeviceAndOrder(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	in := e.Tenant(t)
	boss, ada, stranger := e.user(t, in), e.user(t, in), e.user(t, e.Tenant(t))
	e.grant(t, in, boss.Subject, "sessions:read")
	abroad := e.start(t, stranger)
	var live [5]uuid.UUID
	for i := range live {
		live[i] = e.start(t, ada)
	}
	ended, expired, bosss := e.start(t, ada), e.start(t, ada), e.start(t, boss)
	e.end(t, e.process(t, e.Redis), ada, ended)
	e.exec(t, "UPDATE platform.sessions SET expires_at = $2 WHERE id = $1", expired, e.clock.Now())
	device := uuid.New()
	e.exec(t, "UPDATE platform.sessions SET device_id = $2 WHERE id = ANY($1)", []uuid.UUID{live[1], ended, bosss}, device)
	ascending, stateEnded, stateExpired := SortCreatedAtAsc, StateEnded, StateExpired
	newest := slices.Clone(live[:])
	slices.Reverse(newest)

	for name, c := range map[string]struct {
		list      List
		own, here []uuid.UUID // ada's, and everybody's
	}{
		"as it is":  {List{}, newest, append([]uuid.UUID{bosss}, newest...)},
		"oldest":    {List{Sort: &ascending}, live[:], append(live[:5:5], bosss)},
		"ended":     {List{Filter: &SessionFilterInput{State: &stateEnded}}, []uuid.UUID{ended}, []uuid.UUID{ended}},
		"expired":   {List{Filter: &SessionFilterInput{State: &stateExpired}, Sort: &ascending}, []uuid.UUID{expired}, []uuid.UUID{expired}},
		"on device": {List{Filter: &SessionFilterInput{DeviceID: &device}}, []uuid.UUID{live[1]}, []uuid.UUID{bosss, live[1]}},
		"both":      {List{Filter: &SessionFilterInput{DeviceID: &device, State: &stateEnded}}, []uuid.UUID{ended}, []uuid.UUID{ended}},
		"nowhere":   {List{Filter: &SessionFilterInput{DeviceID: &abroad}}, nil, nil},
	} {
		own := everything(t, c.list, func(l List) (*SessionConnection, error) { return e.sessions.List(as(t, ada, live[0]), l) }, nil)
		if diff := cmp.Diff(c.own, own); diff != "" {
			t.Errorf("%s, one's own: %s", name, diff)
		}
		of := everything(t, c.list, func(l List) (*SessionConnection, error) {
			return e.sessions.UserSessions(as(t, boss, bosss), &ada.Subject, l)
		}, nil)
		if diff := cmp.Diff(c.own, of); diff != "" {
			t.Errorf("%s, of a user: %s", name, diff)
		}
		here := everything(t, c.list, func(l List) (*SessionConnection, error) { return e.sessions.UserSessions(as(t, boss, bosss), nil, l) }, nil)
		if diff := cmp.Diff(c.here, here); diff != "" {
			t.Errorf("%s, of all: %s", name, diff)
		}
	}
	found, err := e.sessions.List(as(t, ada, live[0]), List{Filter: &SessionFilterInput{State: &stateEnded}})
	if err != nil || found.Edges[0].Node.State != StateEnded || found.Edges[0].Node.EndedAt == nil {
		t.Errorf("an ended session: %+v, %v", found, err)
	}
	for _, who := range []uuid.UUID{stranger.Subject, uuid.New(), uuid.Nil} {
		none, err := e.sessions.UserSessions(as(t, boss, bosss), &who, List{})
		if err != nil || len(none.Edges) > 0 {
			t.Errorf("of nobody here: %+v, %v", none, err)
		}
	}
	for name, ctx := range map[fault.Code]struct{ who *identity.Caller }{fault.CodeForbidden: {ada}, fault.CodeUnauthenticated: {nil}} {
		call := t.Context()
		if ctx.who != nil {
			call = as(t, ctx.who, live[0])
		}
		if _, err := e.sessions.UserSessions(call, &ada.Subject, List{}); !fault.Is(err, name) {
			t.Errorf("got %v, want %s", err, name)
		}
	}
}

// What begins and ends between two pages neither hides nor repeats what stays.
func TestSessionsBeginAndEndBetweenPages(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	ada, process := e.user(t, e.Tenant(t)), e.process(t, e.Redis)
	descending, ascending := SortCreatedAtDesc, SortCreatedAtAsc
	for _, sort := range []*SessionSort{&descending, &ascending} {
		var stays [5]uuid.UUID
		var goes []uuid.UUID
		for i := range stays {
			stays[i] = e.start(t, ada)
			goes = append(goes, e.start(t, ada))
		}
		rounds := 0
		got := everything(t, List{Sort: sort}, func(l List) (*SessionConnection, error) { return e.sessions.List(as(t, ada, stays[0]), l) }, func() {
			if rounds++; len(goes) > 0 && rounds < 10 {
				e.end(t, process, ada, goes[0])
				goes = goes[1:]
				e.start(t, ada)
			}
		})
		for _, id := range stays {
			if n := count(got, id); n != 1 {
				t.Errorf("%s: a session that stays came %d times", *sort, n)
			}
		}
		e.exec(t, "UPDATE platform.sessions SET revoked_at = now() WHERE identity_id = $1", ada.Subject)
	}
}

func count(ids []uuid.UUID, id uuid.UUID) (n int) {
	for _, other := range ids {
		if other == id {
			n++
		}
	}
	return n
}

func TestSessionListsRefuse(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	ada := e.user(t, e.Tenant(t))
	own := e.start(t, ada)
	ctx := as(t, ada, own)
	first, err := e.sessions.List(ctx, List{})
	if err != nil {
		t.Fatal(err)
	}
	ascending, unknown, state := SortCreatedAtAsc, SessionSort("IP_ASC"), SessionState("LOST")
	for _, c := range []struct {
		field string
		list  List
	}{
		{"first", List{Args: page.Args{First: new(0)}}},
		{"first", List{Args: page.Args{First: new(101)}}},
		{"after", List{Args: page.Args{After: new("x")}}},
		{"after", List{Args: page.Args{After: new(page.Cursor("CREATED_AT_DESC", "", "1"))}}},
		{"after", List{Args: page.Args{After: first.PageInfo.EndCursor}, Sort: &ascending}},
		{"sort", List{Sort: &unknown}},
		{"filter.state", List{Filter: &SessionFilterInput{State: &state}}},
	} {
		_, err := e.sessions.List(ctx, c.list)
		if f, ok := fault.As(err); !ok || f.Code != fault.CodeInvalidInput || f.Field != c.field {
			t.Errorf("%+v: %v, want INVALID_INPUT of %s", c.list, err, c.field)
		}
	}
	if key := (List{Sort: &ascending}).Key(); key != key.List().Key() || key == (List{}).Key() {
		t.Error("keys of lists differ as the lists do")
	}
}
