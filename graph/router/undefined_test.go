package router_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/tradesage/tradesage/graph/router"
	"github.com/tradesage/tradesage/internal/fault"
)

// withSchema is the shop's config with a part of its schema written otherwise.
func withSchema(t *testing.T, from, to string) []byte {
	t.Helper()
	var config map[string]any
	if err := json.Unmarshal(readConfig(t, "shop"), &config); err != nil {
		t.Fatal(err)
	}
	engine, _ := config["engineConfig"].(map[string]any)
	for _, name := range []string{"graphqlSchema", "graphqlClientSchema"} {
		sdl, ok := engine[name].(string)
		if !ok {
			continue
		}
		if !strings.Contains(sdl, from) {
			t.Fatalf("%s has no %q", name, from)
		}
		engine[name] = strings.Replace(sdl, from, to, 1)
	}
	out, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Directives that a schema uses and does not define say nothing to clients: all else
// of it holds, for the whole of each document.
func TestUndefinedDirectives(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := newShop(t, func(s *shop) {
		s.options.Config = withSchema(t, "type User {", `type User @owner(team: "people") @audited {`)
		s.options.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	if !strings.Contains(log.String(), "@audited @owner") {
		t.Errorf("log: %s", log.String())
	}
	wantBody(t, query(s.router, `{ me { name } }`, ""), `{"data":{"me":{"name":"Ada"}}}`)
	got := post(s.router, `{"query":"query A { me { id } } query B { me { nam } }","operationName":"A"}`)
	if wantError(t, got, fault.CodeInvalidInput, ""); !strings.Contains(got.body, `Did you mean \"name\"?`) {
		t.Error(got.body)
	}
	for _, use := range []string{`{ me @owner(team: "x") { id } }`, `query @audited { me { id } }`} {
		if got := query(s.router, use, ""); !strings.Contains(got.body, "Unknown directive") {
			t.Errorf("%s: %s", use, got.body)
		}
	}
}

// A client schema that is not one is refused when it is loaded, with its fault.
func TestASchemaThatIsNone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ from, to, want string }{
		"an unknown type":         {"type User {", "type User { nobody: Nobody ", `Undefined type Nobody`},
		"a field that is twice":   {"type User {", "type User { twice: Int twice: Int ", "User.twice can only be defined once"},
		"an unknown argument":     {"type User {", "type User { old: Int @deprecated(why: 1) ", "Undefined argument why for directive deprecated"},
		"a directive elsewhere":   {"type User {", `type User @deprecated {`, "Directive deprecated is not applicable on OBJECT"},
		"an interface not obeyed": {"type User {", "interface Odd { odd: Int! } type Off implements Odd { even: Int } type User {", "Odd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := router.New(t.Context(), router.Options{Config: withSchema(t, c.from, c.to)})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "schema") {
				t.Errorf("%v", err)
			}
		})
	}
}
