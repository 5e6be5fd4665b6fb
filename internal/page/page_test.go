package page_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tradesage/tradesage/internal/fault"
	"github.com/tradesage/tradesage/internal/page"
)

func ptr[T any](v T) *T { return &v }

func field(err error) string {
	f, ok := fault.As(err)
	if !ok || f.Code != fault.CodeInvalidInput {
		return ""
	}
	return f.Field
}

func TestLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		first *int
		want  int
	}{{nil, 20}, {ptr(1), 1}, {ptr(100), 100}, {ptr(0), -1}, {ptr(-1), -1}, {ptr(101), -1}} {
		got, err := page.Args{First: c.first}.Limit()
		if c.want < 0 {
			if field(err) != "first" {
				t.Errorf("first %d: got %v, want INVALID_INPUT of first", *c.first, err)
			}
		} else if err != nil || got != c.want {
			t.Errorf("got %d, %v; want %d", got, err, c.want)
		}
	}
}

func TestAfterID(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")
	got, err := page.Args{After: ptr(page.IDCursor(id))}.AfterID()
	if err != nil || got == nil || *got != id {
		t.Fatalf("got %v, %v; want %v", got, err, id)
	}
	if got, err := (page.Args{}).AfterID(); got != nil || err != nil {
		t.Fatalf("absent: got %v, %v", got, err)
	}
	for name, cursor := range map[string]string{
		"empty":           "",
		"not base64":      "!!!",
		"padded":          page.IDCursor(id) + "=",
		"not a uuid":      page.Cursor("' OR 1=1 --"),
		"upper case":      page.Cursor(strings.ToUpper(id.String())),
		"urn":             page.Cursor("urn:uuid:" + id.String()),
		"too many keys":   page.Cursor(id.String(), id.String()),
		"far too long":    page.Cursor(strings.Repeat("x", 100_000)),
		"trailing bits":   page.IDCursor(id)[:len(page.IDCursor(id))-1] + "_",
		"invalid unicode": page.Cursor("\xff\xfe"),
	} {
		if _, err := (page.Args{After: &cursor}).AfterID(); field(err) != "after" {
			t.Errorf("%s: got %v, want INVALID_INPUT of after", name, err)
		}
	}
}

func TestAfterKeys(t *testing.T) {
	t.Parallel()
	keys := []string{"2026-01-02T03:04:05Z", "Ünïcode name", "id"}
	got, err := page.Args{After: ptr(page.Cursor(keys...))}.AfterKeys(3)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(keys, got); diff != "" {
		t.Error(diff)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	self := func(s string) string { return s }
	got := page.New([]string{"a", "b", "c"}, 2, page.Args{}, self)
	want := &page.Connection[string]{
		Edges:    []*page.Edge[string]{{Node: "a", Cursor: "a"}, {Node: "b", Cursor: "b"}},
		PageInfo: &page.PageInfo{HasNextPage: true, StartCursor: ptr("a"), EndCursor: ptr("b")},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = page.New(nil, 2, page.Args{After: ptr("x")}, self)
	want = &page.Connection[string]{Edges: []*page.Edge[string]{}, PageInfo: &page.PageInfo{HasPreviousPage: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
