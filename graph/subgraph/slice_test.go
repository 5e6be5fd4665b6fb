package subgraph_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/tradesage/tradesage/graph/subgraph"
)

func field(name string, selected ...ast.Selection) *ast.Field {
	return &ast.Field{Name: name, Alias: name, SelectionSet: selected}
}

// listContext is where a resolver of the field "list" would marshal its result.
func listContext(t *testing.T) context.Context {
	t.Helper()
	ctx := graphql.WithResponseContext(t.Context(), graphql.DefaultErrorPresenter,
		func(_ context.Context, p any) error { return fmt.Errorf("recovered: %v", p) })
	return graphql.WithFieldContext(ctx, &graphql.FieldContext{Field: graphql.CollectedField{Field: field("list")}})
}

func rendered(list graphql.Array) string {
	var b bytes.Buffer
	list.MarshalGQL(&b)
	return b.String()
}

func TestListsKeepOrderAndPaths(t *testing.T) {
	t.Parallel()
	ctx := listContext(t)
	got := subgraph.Waiting{"sessions": true}.MarshalSlice(ctx, ast.SelectionSet{field("name")}, 3,
		func(ctx context.Context, i int) graphql.Marshaler {
			if i == 1 {
				graphql.AddError(ctx, errors.New("no name"))
				return graphql.Null
			}
			return graphql.MarshalString(graphql.GetPath(ctx).String())
		})
	if want := `["list[0]",null,"list[2]"]`; rendered(got) != want {
		t.Errorf("got %s, want %s", rendered(got), want)
	}
	if errs := graphql.GetErrors(ctx); len(errs) != 1 || errs[0].Path.String() != "list[1]" {
		t.Errorf("errors: %v", errs)
	}
}

func TestAPanicInAListIsAnError(t *testing.T) {
	t.Parallel()
	ctx := listContext(t)
	got := subgraph.Waiting{}.MarshalSlice(ctx, ast.SelectionSet{field("name")}, 2,
		func(_ context.Context, i int) graphql.Marshaler {
			if i == 0 {
				panic("a bug")
			}
			return graphql.MarshalInt(i)
		})
	if got != nil {
		t.Errorf("a list with a hole: %s", rendered(got))
	}
	if errs := graphql.GetErrors(ctx); len(errs) != 1 || errs[0].Path.String() != "list[0]" || !strings.Contains(errs[0].Message, "a bug") {
		t.Errorf("errors: %v", errs)
	}
}

// Elements that wait for each other, as those that load together do, must all be
// under way at the same time; elements that do not are rendered in order.
func TestOnlyWaitingElementsRunAtTheSameTime(t *testing.T) {
	t.Parallel()
	inFragment := &ast.FragmentSpread{Definition: &ast.FragmentDefinition{SelectionSet: ast.SelectionSet{field("sessions")}}}
	for name, c := range map[string]struct {
		selected ast.Selection
		together bool
	}{
		"plain":              {field("name"), false},
		"waiting":            {field("sessions"), true},
		"waiting below":      {field("owner", field("sessions")), true},
		"waiting in inline":  {&ast.InlineFragment{SelectionSet: ast.SelectionSet{field("sessions")}}, true},
		"waiting in a named": {inFragment, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(listContext(t), 10*time.Second)
			defer cancel()
			var order []int // written by one goroutine at a time, or not at all
			meet := make(chan struct{})
			list := subgraph.Waiting{"sessions": true}.MarshalSlice(ctx, ast.SelectionSet{field("id"), c.selected}, 2,
				func(ctx context.Context, i int) graphql.Marshaler {
					if !c.together {
						order = append(order, i)
						return graphql.MarshalBoolean(true)
					}
					select { // one sends, the other receives
					case meet <- struct{}{}:
					case <-meet:
					case <-ctx.Done():
						return graphql.MarshalBoolean(false)
					}
					return graphql.MarshalBoolean(true)
				})
			if got := rendered(list); got != "[true,true]" {
				t.Errorf("elements did not meet: %s", got)
			}
			if diff := cmp.Diff([]int{0, 1}, order); !c.together && diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
		})
	}
}
